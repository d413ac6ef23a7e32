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

/** A pod on its way out. */
export interface Leaving {
  /** As it was last seen. */
  pod: V1Pod;
  /** The budget or error that holds it back right now. */
  held?: string;
  fatal?: Error;
}

export interface EvictionOptions {
  /** For every pod, milliseconds. */
  readonly gracePeriod: number;
  /** Between two refused evictions of a pod, milliseconds. */
  readonly evictionRetry: number;
  /** Which pods may be deleted when their eviction stays refused. */
  readonly blockedPods: readonly BlockedPodRule[];
  /** Told once for each pod that a budget holds back, before such a pod is deleted, and when somebody lifts our cordon. */
  readonly onNotice: (notice: string) => void;
}

/** How long a pod has been refused; epoch milliseconds. Lives as long as the drain: the next one counts anew. */
interface Refusals {
  count: number;
  since?: number;
  /** When Slack heard that the pod will be deleted. */
  announced?: number;
}

/** What stands behind a refusal. */
interface Hold {
  readonly by: string;
  readonly rule: BlockedPodRule | undefined;
}

const lastingRefusals = 3;

/**
 * Asks for the eviction of one pod until it is accepted, is refused for good (then `one.fatal`), or the wait is over. A pod that
 * a rule names is deleted once it was refused for as long as the rule says. Never rejects.
 */
export async function evictUntilAccepted(
  client: KubernetesClient,
  writer: ClusterWriter,
  one: Leaving,
  options: EvictionOptions,
  wait: Wait,
): Promise<void> {
  const refusals: Refusals = { count: 0 };
  while (Date.now() < wait.deadline && !wait.signal.aborted) {
    const answer = await attempt(() => writer.evict(one.pod, options.gracePeriod, wait.signal));
    if (answer === 'leaving' || wait.signal.aborted) return;
    const hold = await whatHolds(client, one.pod, answer, options.blockedPods);
    if (wait.signal.aborted) return;
    one.held = hold?.by ?? answer.message;
    const end = hold === undefined ? answer : await refused(writer, one, hold, refusals, options, wait);
    if (end === 'leaving') return;
    if (end instanceof Error) {
      one.fatal = end;
      return;
    }
    await pause(nextAttempt(answer, hold?.rule, refusals, options), wait).catch(() => {});
  }
}

/** One more refusal: counted, told, and answered with a deletion when a rule says so. */
async function refused(
  writer: ClusterWriter,
  one: Leaving,
  { by, rule }: Hold,
  refusals: Refusals,
  options: EvictionOptions,
  wait: Wait,
): Promise<'leaving' | Error | undefined> {
  refusals.count += 1;
  // A budget that hands out one disruption after the other refuses now and then; only a lasting refusal is news.
  if (refusals.count === lastingRefusals && refusals.announced === undefined)
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
      `the eviction of ${podName(one.pod)} has been refused for ${lasted} by ${by}; in ${after} it will be deleted, as ${setting} has it`,
    );
  }
  if (now - refusals.announced < rule.deleteAfter) return undefined;
  options.onNotice(
    `deleting ${podName(one.pod)}: its eviction was refused for ${lasted} by ${by}, and ${setting} names it`,
  );
  return attempt(() => writer.deletePod(one.pod, options.gracePeriod, wait.signal));
}

/** Milliseconds: as often as the settings say, not before the server wants to be asked again, and in time for a rule. */
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

/** `leaving`: it was accepted, or nothing is left to ask for. */
async function attempt(write: () => Promise<void>): Promise<'leaving' | Error> {
  try {
    await write();
    return 'leaving';
  } catch (error) {
    if (isNotFound(error) || isNamespaceTerminating(error) || isAnotherPod(error)) return 'leaving';
    return error instanceof Error ? error : new Error(String(error));
  }
}

/** One of the same name has taken its place. Any other conflict is the server's with somebody else who writes the pod. */
const isAnotherPod = (error: unknown): boolean =>
  isConflict(error) && /\bUID in (the )?precondition/.test((error as Error).message);

/** Undefined when the refusal is for good. */
async function whatHolds(
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
