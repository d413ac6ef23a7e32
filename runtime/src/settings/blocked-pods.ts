import { z } from 'zod';

/**
 * `drain.blockedPods`: which pods a drain may delete once their eviction has been refused for a while (F17). A pod is
 * named by a rule when all that the rule gives holds for it; nothing that no rule names is ever deleted.
 */

const dnsLabel = '[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?';
const namespace = z
  .string()
  .regex(new RegExp(`^${dnsLabel}$`), 'expected the name of a namespace such as dbaas');
const budgetName = z
  .string()
  .regex(
    new RegExp(`^${dnsLabel}/[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$`),
    'expected a PodDisruptionBudget as namespace/name',
  );
const labelText = z.string().regex(/^([A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?)?$/, 'expected a label value');
const labelKey = z
  .string()
  .regex(
    /^([a-z0-9.-]+\/)?[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$/,
    'expected the key of a label such as app.kubernetes.io/name',
  );
const expression = z
  .strictObject({
    key: labelKey,
    operator: z.enum(['In', 'NotIn', 'Exists', 'DoesNotExist']),
    values: z.array(labelText).default([]),
  })
  .refine(
    ({ operator, values }) => operator.endsWith('In') === values.length > 0,
    'expected values with In and NotIn, and none with Exists and DoesNotExist',
  );
const podSelector = z
  .strictObject({
    matchLabels: z.record(labelKey, labelText).default({}),
    matchExpressions: z.array(expression).default([]),
  })
  .refine(
    ({ matchLabels, matchExpressions }) => Object.keys(matchLabels).length + matchExpressions.length > 0,
    'expected matchLabels or matchExpressions; an empty selector would name every pod of the cluster',
  );

/** @param duration how the settings write one; it becomes milliseconds. */
export const blockedPodRule = (duration: z.ZodType<number, string>) =>
  z
    .strictObject({
      namespaces: z.array(namespace).min(1).optional(),
      /** `namespace/name`. A pod under several budgets is named only when all of them are. */
      disruptionBudgets: z.array(budgetName).min(1).optional(),
      podSelector: podSelector.optional(),
      /** How long its eviction is refused before Slack hears that it will be deleted. */
      wait: duration.prefault('5m'),
      /** From that notice until it is deleted. */
      deleteAfter: duration.prefault('5m'),
    })
    .refine(
      (rule) => rule.namespaces ?? rule.disruptionBudgets ?? rule.podSelector,
      'expected at least one of namespaces, disruptionBudgets and podSelector: what is not named is not deleted',
    );

export type BlockedPodRule = z.output<ReturnType<typeof blockedPodRule>>;

/** The rules that cannot come to their deletion before the drain gives up, by index; durations in milliseconds. */
export const outlastingRules = (rules: readonly BlockedPodRule[], drainTimeout: number): number[] =>
  rules.flatMap((rule, i) => (rule.wait + rule.deleteAfter < drainTimeout ? [] : [i]));

/** The namespaces in which the rules can name a pod; `all` when a rule goes by labels alone. */
export function namespacesOf(rules: readonly BlockedPodRule[]): 'all' | string[] {
  const found = rules.map(({ namespaces, disruptionBudgets }) => {
    const ofBudgets = disruptionBudgets?.map((name) => name.split('/')[0] ?? '');
    return ofBudgets?.filter((name) => namespaces?.includes(name) ?? true) ?? namespaces;
  });
  return found.every((names) => names !== undefined) ? [...new Set(found.flat())].sort() : 'all';
}
