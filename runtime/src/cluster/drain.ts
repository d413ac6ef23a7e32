import type { V1Pod, V1PodDisruptionBudget } from '@kubernetes/client-node';
import { BlockedError, UpgradeError } from '../errors.ts';
import { pause, TimeoutError, type Wait, within } from '../wait.ts';
import { ApiError, isNotFound } from './api-error.ts';
import type { KubernetesClient } from './client.ts';
import { budgetsFor, describeBudget } from './disruption-budgets.ts';
import { controllingDaemonSet, judgePod, type PodVerdict, podName } from './drain-filter.ts';
import { type ObjectSource, waitForObjects } from './watch.ts';
import type { ClusterWriter } from './writer.ts';

export interface DrainOptions {
  /** For the whole node, milliseconds. */
  readonly timeout: number;
  /** For every pod, milliseconds. */
  readonly gracePeriod: number;
  /** Between two refused evictions of a pod, milliseconds. */
  readonly evictionRetry: number;
  readonly signal: AbortSignal;
  /** Told once for each pod that a budget holds back, and when somebody lifts our cordon. */
  readonly onNotice: (notice: string) => void;
  /** Makes the node unschedulable, again if somebody undid it. */
  readonly cordon: () => Promise<'cordoned' | 'already'>;
}

export interface DrainResult {
  /** `namespace/name` of the pods that were evicted. */
  readonly evicted: readonly string[];
}

/** A pod on its way out. */
interface Leaving {
  readonly pod: V1Pod;
  /** The budget or error that holds it back right now. */
  held?: string;
  fatal?: Error;
}

const podsOn = (client: KubernetesClient, node: string): ObjectSource<V1Pod> => ({
  path: '/api/v1/pods',
  query: { fieldSelector: `spec.nodeName=${node}` },
  list: () =>
    client.call(`list the pods on ${node}`, () =>
      client.core.listPodForAllNamespaces({ fieldSelector: `spec.nodeName=${node}` }),
    ),
});

/** Lists the pods of a node with what a drain would do with each. */
export async function judgePods(
  client: KubernetesClient,
  node: string,
): Promise<{ pod: V1Pod; verdict: PodVerdict }[]> {
  const { items } = await podsOn(client, node).list();
  const judge = async (pod: V1Pod) => ({ pod, verdict: judgePod(pod, await daemonSetExists(client, pod)) });
  return Promise.all(items.map(judge));
}

async function daemonSetExists(client: KubernetesClient, pod: V1Pod): Promise<boolean | Error> {
  const name = controllingDaemonSet(pod);
  const namespace = pod.metadata?.namespace ?? '';
  if (name === undefined) return false;
  try {
    await client.call(`read DaemonSet ${namespace}/${name}`, () =>
      client.apps.readNamespacedDaemonSet({ name, namespace }),
    );
    return true;
  } catch (error) {
    if (isNotFound(error)) return false;
    client.options.signal.throwIfAborted();
    return error as Error;
  }
}

/**
 * Cordons the node and evicts what `kubectl drain --ignore-daemonsets --delete-emptydir-data --force` would,
 * all pods at once, until they are gone. May be called again on a node that is half drained.
 *
 * @throws BlockedError when a pod may not be evicted at all or time ran out, naming pods and budgets;
 *   UpgradeError when the API refuses an eviction for another reason. The node stays cordoned: the caller decides.
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

async function choosePods(client: KubernetesClient, node: string): Promise<Leaving[]> {
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
  leaving: readonly Leaving[],
  options: DrainOptions,
  wait: Wait,
  onUncordoned: () => void,
): Promise<void> {
  if (leaving.length === 0) return;
  const stop = new AbortController();
  const stoppable = { deadline: wait.deadline, signal: AbortSignal.any([wait.signal, stop.signal]) };
  const evictions = leaving.map((one) => evictUntilAccepted(client, writer, one, options, stoppable));
  const remaining = (pods: readonly V1Pod[]) =>
    leaving.filter((one) => pods.some((p) => isSamePod(p, one.pod)));
  try {
    await waitForObjects(
      client,
      podsOn(client, node),
      `drain of ${node}`,
      async (pods) => {
        if ((await options.cordon()) === 'cordoned') {
          options.onNotice(`somebody uncordoned ${node} during its drain; cordoned again`);
          onUncordoned();
        }
        const left = remaining(pods);
        return left.every((one) => one.fatal !== undefined) ? true : undefined;
      },
      wait,
      (pods) => remaining(pods).map((one) => podName(one.pod) + (one.held ? ` (${one.held})` : '')),
    );
  } catch (error) {
    if (!(error instanceof TimeoutError)) throw error;
    throw new BlockedError(`node ${node} was not empty after its time-out`, error.pending, {
      hint: 'Free the named pods, or raise drain.timeout; then run again.',
    });
  } finally {
    stop.abort();
    await Promise.allSettled(evictions);
  }
  const fatal = leaving.filter((one) => one.fatal !== undefined);
  if (fatal.length > 0) {
    throw new UpgradeError('failed', `node ${node}: ${fatal.map((one) => one.fatal?.message).join('; ')}`);
  }
}

/** Gone means 404 or another UID: a StatefulSet makes a new pod of the same name. */
const isSamePod = (a: V1Pod, b: V1Pod) => a.metadata?.uid === b.metadata?.uid;

const lastingRefusals = 3;

async function evictUntilAccepted(
  client: KubernetesClient,
  writer: ClusterWriter,
  one: Leaving,
  options: DrainOptions,
  wait: Wait,
): Promise<void> {
  let refusals = 0;
  while (Date.now() < wait.deadline && !wait.signal.aborted) {
    const answer = await tryEviction(writer, one.pod, options.gracePeriod);
    if (answer === 'leaving') return;
    if (!(answer instanceof ApiError && answer.status === 429)) {
      one.fatal = answer;
      return;
    }
    one.held = await nameBudgets(client, one.pod).catch(() => answer.message);
    // A budget that hands out one disruption after the other refuses now and then; only a lasting refusal is news.
    refusals += 1;
    if (refusals === lastingRefusals) options.onNotice(`${podName(one.pod)} is held back by ${one.held}`);
    await pause(options.evictionRetry, wait).catch(() => {});
  }
}

async function tryEviction(
  writer: ClusterWriter,
  pod: V1Pod,
  gracePeriod: number,
): Promise<'leaving' | Error> {
  try {
    await writer.evict(pod, gracePeriod);
    return 'leaving';
  } catch (error) {
    if (isNotFound(error) || isNamespaceTerminating(error)) return 'leaving';
    // Another pod of the same name has taken its place.
    if (error instanceof ApiError && error.status === 409) return 'leaving';
    return error instanceof Error ? error : new Error(String(error));
  }
}

const isNamespaceTerminating = (error: unknown) =>
  error instanceof ApiError &&
  error.status === 403 &&
  error.causes.some((cause) => cause.reason === 'NamespaceTerminating');

async function nameBudgets(client: KubernetesClient, pod: V1Pod): Promise<string> {
  const budgets = budgetsFor(pod, await listBudgets(client));
  return budgets.length > 0
    ? `PodDisruptionBudget ${budgets.map(describeBudget).join(' and ')}`
    : 'the API server (too many requests)';
}

/** Every PodDisruptionBudget of the cluster. */
export async function listBudgets(client: KubernetesClient): Promise<V1PodDisruptionBudget[]> {
  const list = await client.call('list PodDisruptionBudgets', () =>
    client.policy.listPodDisruptionBudgetForAllNamespaces(),
  );
  return list.items;
}
