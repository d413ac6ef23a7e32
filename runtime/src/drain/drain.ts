import type { V1Pod } from '@kubernetes/client-node';
import type { KubernetesClient } from '../cluster/client.ts';
import { LeaseHeldError } from '../cluster/lease.ts';
import { controllingDaemonSet, podName } from '../cluster/pods.ts';
import { daemonSetExists, podsOn } from '../cluster/pods-on-node.ts';
import { waitForObjects } from '../cluster/watch.ts';
import type { ClusterWriter } from '../cluster/writer.ts';
import { BlockedError, UpgradeError } from '../errors.ts';
import { TimeoutError, type Wait, within } from '../wait.ts';
import { type EvictionOptions, evictUntilAccepted, type PodEviction } from './eviction.ts';
import { judgePod, type PodVerdict } from './filter.ts';

/** Limits and callbacks of one drain. */
export interface DrainOptions extends EvictionOptions {
  /** For the whole node, milliseconds. */
  readonly timeout: number;
  /** Aborting it ends the drain with the signal's reason; the node stays cordoned. */
  readonly signal: AbortSignal;
  /**
   * Makes the node unschedulable. Called on every change of the node's pods, in case somebody uncordoned it.
   */
  readonly cordon: () => Promise<'cordoned' | 'already'>;
}

/** What a successful drain did. */
export interface DrainResult {
  /** `namespace/name` of the pods that were evicted, or deleted by a rule of `drain.blockedPods`. */
  readonly evicted: readonly string[];
}

/** Lists the pods of a node with what a drain would do with each. Changes nothing. */
export async function judgePods(
  client: KubernetesClient,
  node: string,
): Promise<{ pod: V1Pod; verdict: PodVerdict }[]> {
  const { items } = await podsOn(client, node).list();
  const judge = async (pod: V1Pod) => ({ pod, verdict: judgePod(pod, await daemonSetOfExists(client, pod)) });
  return Promise.all(items.map(judge));
}

async function daemonSetOfExists(client: KubernetesClient, pod: V1Pod): Promise<boolean | Error> {
  const name = controllingDaemonSet(pod);
  if (name === undefined) return false;
  try {
    return await daemonSetExists(client, pod.metadata?.namespace ?? '', name);
  } catch (error) {
    client.options.signal.throwIfAborted();
    return error as Error;
  }
}

/**
 * Cordons the node and evicts what `kubectl drain --ignore-daemonsets --delete-emptydir-data --force` would,
 * all pods at once, and returns when they are gone. May be called again on a partly drained node.
 *
 * On an error the node stays cordoned; the caller decides whether to uncordon it.
 *
 * @throws BlockedError when a pod must not be evicted at all or time ran out, naming pods and budgets;
 *   LeaseHeldError when another process has taken over; UpgradeError when the API refuses an eviction for
 *   another reason.
 */
export async function drain(
  client: KubernetesClient,
  writer: ClusterWriter,
  node: string,
  options: DrainOptions,
): Promise<DrainResult> {
  const wait = within(options.timeout, options.signal);
  const evicted: string[] = [];
  let uncordoned: boolean;
  await options.cordon();
  do {
    uncordoned = false;
    const leaving = await choosePods(client, node);
    evicted.push(...leaving.map(({ pod }) => podName(pod)));
    await emptyNode(client, writer, node, leaving, options, wait, () => {
      uncordoned = true;
    });
  } while (uncordoned);
  return { evicted };
}

async function choosePods(client: KubernetesClient, node: string): Promise<PodEviction[]> {
  const judged = await judgePods(client, node);
  const refused = judged.filter(({ verdict }) => verdict.action === 'refuse');
  if (refused.length > 0) {
    const reasons = refused.map(({ pod, verdict }) => `${podName(pod)}: ${verdict.why}`);
    throw new BlockedError(`node ${node} cannot be drained`, reasons);
  }
  return judged.filter(({ verdict }) => verdict.action === 'evict').map(({ pod }) => ({ pod }));
}

async function emptyNode(
  client: KubernetesClient,
  writer: ClusterWriter,
  node: string,
  leaving: readonly PodEviction[],
  options: DrainOptions,
  wait: Wait,
  onUncordoned: () => void,
): Promise<void> {
  if (leaving.length === 0) return;
  const stop = new AbortController();
  const stoppable = { deadline: wait.deadline, signal: AbortSignal.any([wait.signal, stop.signal]) };
  const evictions = Promise.all(
    leaving.map((one) => evictUntilAccepted(client, writer, one, options, stoppable)),
  );
  try {
    await waitUntilEmpty(client, node, leaving, options, wait, evictions, onUncordoned);
  } catch (error) {
    if (!(error instanceof TimeoutError)) throw error;
    throw new BlockedError(`the drain of node ${node} timed out`, error.pending, {
      hint: hintFor(leaving),
    });
  } finally {
    stop.abort();
    await evictions;
  }
  const lost = leaseLost(leaving);
  if (lost !== undefined) throw lost;
  const fatal = leaving.filter((one) => one.fatal !== undefined);
  if (fatal.length > 0) {
    throw new UpgradeError('failed', `node ${node}: ${fatal.map((one) => one.fatal?.message).join('; ')}`);
  }
}

/** Not a failure of the drain: another process continues it, and this one must not write any more. */
const leaseLost = (leaving: readonly PodEviction[]): Error | undefined =>
  leaving.find((one) => one.fatal instanceof LeaseHeldError)?.fatal;

const hintFor = (leaving: readonly PodEviction[]): string =>
  leaving.some((one) => one.heldBackBy !== undefined)
    ? 'Free the named pods, raise drain.timeout, or name them in drain.blockedPods; then run again.'
    : 'Free the named pods, or raise drain.timeout; then run again.';

/** Returns when every pod is gone or its eviction was refused for good, or when the lease is lost. */
async function waitUntilEmpty(
  client: KubernetesClient,
  node: string,
  leaving: readonly PodEviction[],
  options: DrainOptions,
  wait: Wait,
  evictions: Promise<unknown>,
  onUncordoned: () => void,
): Promise<void> {
  const settled = settledWithFatal(leaving, evictions);
  const remaining = (pods: readonly V1Pod[]) =>
    leaving.filter((one) => {
      const seen = pods.find((pod) => isSamePod(pod, one.pod));
      if (seen !== undefined) one.pod = seen;
      return seen !== undefined;
    });
  const look = (signal: AbortSignal) =>
    waitForObjects(
      client,
      podsOn(client, node),
      `drain of ${node}`,
      async (pods) => {
        if ((await options.cordon()) === 'cordoned') {
          options.onNotice(`somebody uncordoned ${node} during its drain; cordoned again`);
          onUncordoned();
        }
        const isOver = leaseLost(leaving) || remaining(pods).every((one) => one.fatal !== undefined);
        return isOver ? true : undefined;
      },
      { deadline: wait.deadline, signal },
      (pods) => remaining(pods).map(describeLeft),
    );
  try {
    await look(AbortSignal.any([wait.signal, settled]));
  } catch (error) {
    if (error !== settled.reason) throw error;
    await look(wait.signal);
  }
}

/** Fires when no more evictions are sent and at least one was refused for good: no watch reports that. */
function settledWithFatal(leaving: readonly PodEviction[], evictions: Promise<unknown>): AbortSignal {
  const settled = new AbortController();
  void evictions.then(() => {
    if (leaving.some((one) => one.fatal !== undefined)) settled.abort();
  });
  return settled.signal;
}

/** What a person needs to know to free a pod: what holds it back, or which finalizers it waits for. */
function describeLeft({ pod, heldBackBy, fatal }: PodEviction): string {
  const { deletionTimestamp, finalizers = [] } = pod.metadata ?? {};
  const why = fatal?.message ?? heldBackBy;
  if (deletionTimestamp === undefined) return podName(pod) + (why ? ` (${why})` : '');
  const waits = finalizers.length > 0 ? `, waits for ${finalizers.join(' and ')}` : '';
  return `${podName(pod)} (terminating${waits})`;
}

/** Compares UIDs, because a StatefulSet recreates a pod under the same name. */
const isSamePod = (a: V1Pod, b: V1Pod) => a.metadata?.uid === b.metadata?.uid;
