import { z } from 'zod';

/**
 * `drain.blockedPods`: which pods a drain may delete once their eviction has been refused for a while (F17).
 * A rule names a pod when all criteria of the rule match. A pod that no rule names is never deleted.
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
    /** Label key. */
    key: labelKey,
    /** As in a Kubernetes label selector. */
    operator: z.enum(['In', 'NotIn', 'Exists', 'DoesNotExist']),
    /** Label values for In and NotIn. Default: none. */
    values: z.array(labelText).default([]),
  })
  .refine(
    ({ operator, values }) => operator.endsWith('In') === values.length > 0,
    'expected values with In and NotIn, and none with Exists and DoesNotExist',
  );
const podSelector = z
  .strictObject({
    /** Label key → value; all must match. Default: none. */
    matchLabels: z.record(labelKey, labelText).default({}),
    /** All must match. Default: none. */
    matchExpressions: z.array(expression).default([]),
  })
  .refine(
    ({ matchLabels, matchExpressions }) => Object.keys(matchLabels).length + matchExpressions.length > 0,
    'expected matchLabels or matchExpressions; an empty selector would match every pod of the cluster',
  );

/**
 * One rule of `drain.blockedPods`.
 *
 * @param duration schema of a duration: text in, milliseconds out.
 */
export const blockedPodRule = (duration: z.ZodType<number, string>) =>
  z
    .strictObject({
      /** Namespaces of the pods. Default: any. */
      namespaces: z.array(namespace).min(1).optional(),
      /**
       * Budgets of the pods, as `namespace/name`. A pod under several budgets matches only when all of them
       * are listed. Default: any.
       */
      disruptionBudgets: z.array(budgetName).min(1).optional(),
      /** Labels of the pods. Default: any. */
      podSelector: podSelector.optional(),
      /** How long the eviction is refused before Slack announces the deletion, a duration. Default: 5m. */
      wait: duration.prefault('5m'),
      /** From that announcement until the deletion, a duration. Default: 5m. */
      deleteAfter: duration.prefault('5m'),
    })
    .refine(
      (rule) => rule.namespaces ?? rule.disruptionBudgets ?? rule.podSelector,
      'expected at least one of namespaces, disruptionBudgets and podSelector: a rule must name its pods',
    );

/** A rule after parsing: `wait` and `deleteAfter` in milliseconds. */
export type BlockedPodRule = z.output<ReturnType<typeof blockedPodRule>>;

/** Indexes of the rules that would delete only after the drain gives up; `drainTimeout` in milliseconds. */
export const outlastingRules = (rules: readonly BlockedPodRule[], drainTimeout: number): number[] =>
  rules.flatMap((rule, i) => (rule.wait + rule.deleteAfter < drainTimeout ? [] : [i]));

/** The namespaces in which the rules can name a pod, sorted; `all` when a rule has only a `podSelector`. */
export function namespacesOf(rules: readonly BlockedPodRule[]): 'all' | string[] {
  const found = rules.map(({ namespaces, disruptionBudgets }) => {
    const ofBudgets = disruptionBudgets?.map((name) => name.split('/')[0] ?? '');
    return ofBudgets?.filter((name) => namespaces?.includes(name) ?? true) ?? namespaces;
  });
  return found.every((names) => names !== undefined) ? [...new Set(found.flat())].sort() : 'all';
}
