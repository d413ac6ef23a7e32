import type { V1Pod, V1PodDisruptionBudget } from '@kubernetes/client-node';
import { ApiError, isConflict, isNamespaceTerminating, isNotFound } from '../cluster/api-error.ts';
import type { KubernetesClient } from '../cluster/client.ts';
import { budgetsFor, describeBudget, listBudgets } from '../cluster/disruption-budgets.ts';
import { podName } from '../cluster/pods.ts';
import type { ClusterWriter } from '../cluster/writer.ts';
import { formatDuration } from '../duration.ts';
import type { BlockedPodRule } from '../settings/blocked-pods.ts';
import { pause, type Wait } from '../wait.ts';
import { ruleFor, settingOf } from './rules.ts';

/** The eviction of one pod. */
export interface PodEviction {
  /** As last read. */
  pod: V1Pod;
  /** The budget or error that currently holds it back. */
  heldBackBy?: string;
  /** Why its eviction or deletion was refused for good. */
  fatal?: Error;
}

/** How pods are evicted. */
export interface EvictionOptions {
  /** For every pod, milliseconds. */
  readonly gracePeriod: number;
  /** Between two refused evictions of a pod, milliseconds. */
  readonly evictionRetry: number;
  /** Which pods may be deleted when their eviction stays refused. */
  readonly blockedPods: readonly BlockedPodRule[];
  /**
   * Called when a pod has been refused three times, before and when a rule deletes a pod, and when somebody
   * uncordons the node.
   */
  readonly onNotice: (notice: string) => void;
}

/** How often, and since when, a pod's eviction has been refused in this drain; epoch milliseconds. */
interface Refusals {
  count: number;
  since?: number;
  /** When the coming deletion was announced. */
  announced?: number;
}

/** The cause of a temporary refusal, and the rule that allows deleting the pod. */
interface Hold {
  readonly by: string;
  readonly rule: BlockedPodRule | undefined;
}

const refusalsBeforeNotice = 3;

/**
 * Requests the eviction of one pod until it is accepted, is refused for good (then `one.fatal` is set), or
 * the wait is over. Deletes a pod that a rule names once its eviction was refused for as long as the rule
 * says. Never rejects.
 */
export async function evictUntilAccepted(
  client: KubernetesClient,
  writer: ClusterWriter,
  one: PodEviction,
  options: EvictionOptions,
  wait: Wait,
): Promise<void> {
  const refusals: Refusals = { count: 0 };
  while (Date.now() < wait.deadline && !wait.signal.aborted) {
    const answer = await attempt(() => writer.evict(one.pod, options.gracePeriod, wait.signal));
    if (answer === 'leaving' || wait.signal.aborted) return;
    const hold = await findHold(client, one.pod, answer, options.blockedPods);
    if (wait.signal.aborted) return;
    one.heldBackBy = hold?.by ?? answer.message;
    const end = hold === undefined ? answer : await handleRefusal(writer, one, hold, refusals, options, wait);
    if (end === 'leaving') return;
    if (end instanceof Error) {
      one.fatal = end;
      return;
    }
    await pause(nextAttempt(answer, hold?.rule, refusals, options), wait).catch(() => {});
  }
}

/** Counts and reports one more refusal, and deletes the pod once a rule says so. */
async function handleRefusal(
  writer: ClusterWriter,
  one: PodEviction,
  { by, rule }: Hold,
  refusals: Refusals,
  options: EvictionOptions,
  wait: Wait,
): Promise<'leaving' | Error | undefined> {
  refusals.count += 1;
  // A budget that allows one disruption at a time refuses now and then; report only a lasting refusal.
  if (refusals.count === refusalsBeforeNotice && refusals.announced === undefined)
    options.onNotice(`${podName(one.pod)} is held back by ${by}`);
  if (rule === undefined) return undefined;
  const now = Date.now();
  refusals.since ??= now;
  const setting = settingOf(rule, options.blockedPods);
  const lasted = formatDuration(now - refusals.since);
  if (refusals.announced === undefined) {
    if (now - refusals.since < rule.wait) return undefined;
    refusals.announced = now;
    const after = formatDuration(rule.deleteAfter);
    options.onNotice(
      `the eviction of ${podName(one.pod)} has been refused for ${lasted} by ${by}; it will be deleted in ${after} because ${setting} names it`,
    );
  }
  if (now - refusals.announced < rule.deleteAfter) return undefined;
  options.onNotice(
    `deleting ${podName(one.pod)}: its eviction was refused for ${lasted} by ${by}, and ${setting} names it`,
  );
  return attempt(() => writer.deletePod(one.pod, options.gracePeriod, wait.signal));
}

/**
 * Milliseconds until the next attempt: the longer of `evictionRetry` and `Retry-After`, but no longer than
 * until the rule announces or makes the deletion.
 */
function nextAttempt(
  answer: Error,
  rule: BlockedPodRule | undefined,
  refusals: Refusals,
  options: EvictionOptions,
): number {
  const retryAfter = answer instanceof ApiError ? (answer.retryAfter ?? 0) : 0;
  const regular = Math.max(options.evictionRetry, retryAfter);
  if (rule === undefined || refusals.since === undefined) return regular;
  const due =
    refusals.announced === undefined ? refusals.since + rule.wait : refusals.announced + rule.deleteAfter;
  return Math.max(1, Math.min(regular, due - Date.now()));
}

/** `leaving`: the request was accepted, or the pod is gone or goes with its namespace. */
async function attempt(write: () => Promise<void>): Promise<'leaving' | Error> {
  try {
    await write();
    return 'leaving';
  } catch (error) {
    if (isNotFound(error) || isNamespaceTerminating(error) || isAnotherPod(error)) return 'leaving';
    return error instanceof Error ? error : new Error(String(error));
  }
}

/** A pod of the same name has replaced it. Any other conflict means that somebody else is writing the pod. */
const isAnotherPod = (error: unknown): boolean =>
  isConflict(error) && /\bUID in (the )?precondition/.test((error as Error).message);

/** Undefined when the refusal is for good. */
async function findHold(
  client: KubernetesClient,
  pod: V1Pod,
  answer: Error,
  rules: readonly BlockedPodRule[],
): Promise<Hold | undefined> {
  if (!(answer instanceof ApiError)) return undefined;
  if (isConflict(answer)) return { by: answer.message, rule: undefined };
  const several = answer.refusedBySeveralBudgets;
  if (answer.status !== 429 && !several) return undefined;
  const budgets = await listBudgets(client).catch((): V1PodDisruptionBudget[] => []);
  const own = budgetsFor(pod, budgets);
  const byBudget = several || answer.refusedByBudget;
  const rule = byBudget ? ruleFor(pod, own, rules) : undefined;
  if (several && rule === undefined) return undefined;
  if (own.length > 0) return { by: `PodDisruptionBudget ${own.map(describeBudget).join(' and ')}`, rule };
  return { by: byBudget ? answer.message : 'the API server (too many requests)', rule };
}
