import type { V1Pod, V1PodDisruptionBudget } from '@kubernetes/client-node';
import { ApiError, isConflict, isNamespaceTerminating, isNotFound } from '../cluster/api-error.ts';
import type { KubernetesClient } from '../cluster/client.ts';
import { budgetsFor, describeBudget, neverAllows } from '../cluster/disruption-budgets.ts';
import { podName } from '../cluster/pods.ts';
import { type ClusterWriter, clusterWriter } from '../cluster/writer.ts';
import type { BlockedPodRule } from '../settings/blocked-pods.ts';
import { describeDeletion, ruleFor } from './rules.ts';

/** Which evictions a drain of these pods would be refused; one sentence per pod, each list sorted. */
export interface EvictionRefusals {
  /** Refused permanently: the drain cannot succeed. */
  readonly fatal: readonly string[];
  /** Refused for now, by a budget or a namespace that is being deleted; the drain waits. */
  readonly temporary: readonly string[];
  /** Refused, but named by a rule: the drain deletes the pod unless its eviction is allowed in time. */
  readonly deletions: readonly string[];
}

type Finding = readonly [kind: keyof EvictionRefusals, text: string];

/**
 * Checks with the API server whether it would evict these pods now (`dryRun=All`), which also exercises
 * permissions and webhooks. Also checks whether refused pods that a rule names may be deleted.
 */
export async function evictionRefusals(
  client: KubernetesClient,
  pods: readonly V1Pod[],
  budgets: readonly V1PodDisruptionBudget[],
  rules: readonly BlockedPodRule[],
): Promise<EvictionRefusals> {
  const dryWriter = clusterWriter(client, '', () => {});
  const judge = async (pod: V1Pod): Promise<Finding | undefined> => {
    const refusal = await refusalOf(client, () => dryWriter.evict(pod, 0));
    if (refusal === undefined) return undefined;
    const own = budgetsFor(pod, budgets);
    return byBudget(refusal)
      ? judgeBudget(client, dryWriter, pod, own, rules, refusal)
      : judgeOther(pod, refusal);
  };
  const found = await Promise.all(pods.map(judge));
  const of = (kind: keyof EvictionRefusals) =>
    found.flatMap((finding) => (finding?.[0] === kind ? [finding[1]] : [])).sort();
  return { fatal: of('fatal'), temporary: of('temporary'), deletions: of('deletions') };
}

/** Undefined when the request would succeed, or the pod is gone. */
async function refusalOf(client: KubernetesClient, write: () => Promise<void>): Promise<Error | undefined> {
  try {
    await write();
    return undefined;
  } catch (error) {
    client.options.signal.throwIfAborted();
    if (isNotFound(error) || isConflict(error)) return undefined;
    return error instanceof Error ? error : new Error(String(error));
  }
}

const byBudget = (refusal: Error): refusal is ApiError =>
  refusal instanceof ApiError && (refusal.refusedByBudget || refusal.refusedBySeveralBudgets);

const where = (pod: V1Pod) => `${podName(pod)} on ${pod.spec?.nodeName}`;

function judgeOther(pod: V1Pod, refusal: Error): Finding {
  if (isNamespaceTerminating(refusal))
    return ['temporary', `${where(pod)}: its namespace is being deleted; the drain will wait`];
  return ['fatal', `${where(pod)}: ${refusal.message}`];
}

async function judgeBudget(
  client: KubernetesClient,
  dryWriter: ClusterWriter,
  pod: V1Pod,
  own: readonly V1PodDisruptionBudget[],
  rules: readonly BlockedPodRule[],
  refusal: ApiError,
): Promise<Finding> {
  const never = own.filter(neverAllows);
  const holder = never.length > 0 ? never : own;
  const why =
    never.length > 0
      ? `PodDisruptionBudget ${holder.map(describeBudget).join(' and ')} never allows its eviction`
      : refusal.causes.map((cause) => cause.message).join('; ') || refusal.message;
  const rule = ruleFor(pod, own, rules);
  if (rule === undefined) {
    if (never.length > 0 || refusal.refusedBySeveralBudgets) return ['fatal', `${where(pod)}: ${why}`];
    return ['temporary', `${where(pod)}: ${why}; the drain will wait`];
  }
  const forbidden = await refusalOf(client, () => dryWriter.deletePod(pod, 0));
  if (forbidden) return ['fatal', `${where(pod)}: ${why}, and it cannot be deleted: ${forbidden.message}`];
  return ['deletions', `${where(pod)}: ${why}; ${describeDeletion(rule, rules)}`];
}
