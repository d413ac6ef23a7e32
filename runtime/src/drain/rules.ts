import type { V1LabelSelector, V1Pod, V1PodDisruptionBudget } from '@kubernetes/client-node';
import { selects } from '../cluster/disruption-budgets.ts';
import { formatDuration } from '../duration.ts';
import type { BlockedPodRule } from '../settings/blocked-pods.ts';

/**
 * The first rule that names the pod. Undefined for a pod without a budget, as nothing would hold it back.
 *
 * @param budgets those that select this pod.
 */
export function ruleFor(
  pod: V1Pod,
  budgets: readonly V1PodDisruptionBudget[],
  rules: readonly BlockedPodRule[],
): BlockedPodRule | undefined {
  if (budgets.length === 0) return undefined;
  const names = budgets.map(({ metadata }) => `${metadata?.namespace}/${metadata?.name}`);
  return rules.find(
    (rule) =>
      (rule.namespaces?.includes(pod.metadata?.namespace ?? '') ?? true) &&
      (rule.disruptionBudgets === undefined || names.every((n) => rule.disruptionBudgets?.includes(n))) &&
      (rule.podSelector === undefined ||
        selects(rule.podSelector as V1LabelSelector, pod.metadata?.labels ?? {})),
  );
}

/** `deleted when still refused after 10m (drain.blockedPods.0)` */
export function describeDeletion(rule: BlockedPodRule, rules: readonly BlockedPodRule[]): string {
  const after = formatDuration(rule.wait + rule.deleteAfter);
  return `deleted when still refused after ${after} (${settingOf(rule, rules)})`;
}

/** The rule's path in the settings, such as `drain.blockedPods.0`. */
export const settingOf = (rule: BlockedPodRule, rules: readonly BlockedPodRule[]): string =>
  `drain.blockedPods.${rules.indexOf(rule)}`;
