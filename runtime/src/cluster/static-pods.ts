import type { V1Pod, V1PodList } from '@kubernetes/client-node';
import type { Wait } from '../wait.ts';
import type { KubernetesClient } from './client.ts';
import { componentOf, controlPlaneSelector, ownComponents } from './control-plane-pods.ts';
import { timeOf } from './nodes.ts';
import { isMirror, isPodReady } from './pods.ts';
import { probesOf } from './probes.ts';
import { waitForObjects } from './watch.ts';

/**
 * An answer of the API server that took longer than this came after an outage, milliseconds. The kubelet may
 * not have been able to report in that time, so what it reported before shows nothing about it.
 */
const outage = 1_000;

/** Milliseconds until a node that has not said of all its static pods that they are up is asked again. */
const askAgain = 1_000;

/** What a control-plane node says of its static pods before its kubelet reports it to the API server. */
export interface NodeAnswer {
  /** Hashes of the static pods that the restarted kubelet itself lists. */
  readonly listed: ReadonlySet<string>;
  /** Names of the pods of which every probe answers. */
  readonly answering: ReadonlySet<string>;
}

const noAnswer: NodeAnswer = { listed: new Set(), answering: new Set() };

/** What the API shows of a control-plane node's static pods after its kubelet was restarted. */
export interface StaticPods {
  /** Names of those that are missing or not Ready. */
  readonly unready: readonly string[];
  /**
   * Names of those that are Ready by a status from before the restart. Either the kubelet left the pod alone
   * and had nothing to report, or it has not come to it yet and will recreate it (F69).
   */
  readonly silent: readonly string[];
}

/** Annotation of a static pod: the kubelet's hash of its manifest, as that kubelet decodes it. */
const hashAnnotation = 'kubernetes.io/config.hash';

const nameOf = (pod: V1Pod): string => pod.metadata?.name ?? '';

const hashOf = (pod: V1Pod): string | undefined => pod.metadata?.annotations?.[hashAnnotation];

/**
 * The hashes of the static pods in a kubelet's own list of its pods. A kubelet of another minor computes
 * other hashes; it recreates those pods, and leaves a pod with the same hash running
 * (pkg/kubelet/config/common.go, applyDefaults).
 *
 * @param podList what the kubelet answers at `/pods`, JSON.
 * @returns an empty set when the text is no list of pods.
 */
export function hashesIn(podList: string): ReadonlySet<string> {
  try {
    const { items } = JSON.parse(podList) as V1PodList;
    return new Set(items.filter((pod) => !isMirror(pod)).flatMap((pod) => hashOf(pod) ?? []));
  } catch {
    return new Set();
  }
}

/**
 * Separates what the restarted kubelet reported from what the kubelet before it did. Pure.
 *
 * @param pods the control-plane pods of the node.
 * @param kubeletStart the second in which the kubelet started, epoch milliseconds by the node's clock. Times
 *   in the API are whole seconds by that clock too, so only a later second is surely after the start.
 * @param says what the node says beyond that.
 */
export function judgeStaticPods(
  node: string,
  pods: readonly V1Pod[],
  kubeletStart: number,
  { listed, answering }: NodeAnswer,
): StaticPods {
  const missing = ownComponents
    .map((component) => `${component}-${node}`)
    .filter((name) => !pods.some((pod) => nameOf(pod) === name));
  const isUp = (pod: V1Pod) =>
    (isPodReady(pod) || answering.has(nameOf(pod))) && pod.metadata?.deletionTimestamp === undefined;
  const isSettled = (pod: V1Pod) => reportedAt(pod) > kubeletStart || listed.has(hashOf(pod) ?? '');
  return {
    unready: [...missing, ...pods.filter((pod) => !isUp(pod)).map(nameOf)],
    silent: pods.filter((pod) => isUp(pod) && !isSettled(pod)).map(nameOf),
  };
}

/** The latest time in what the kubelet reported of the pod, epoch milliseconds; 0 when it has none. */
function reportedAt({ status }: V1Pod): number {
  const times = [
    status?.startTime,
    ...(status?.conditions ?? []).map((condition) => condition.lastTransitionTime),
    ...(status?.containerStatuses ?? []).map((container) => container.state?.running?.startedAt),
  ];
  return Math.max(0, ...times.map((time) => timeOf(time) ?? 0));
}

/** When the API shows static pods, and for how long it has shown the same. */
export class StaticPodObservation {
  readonly #node: string;
  readonly #kubeletStart: number;
  readonly #settle: number;
  #last: StaticPods = { unready: [], silent: [] };
  #shown = '';
  /** `performance.now()` of the first of the equal answers in which every pod is Ready. */
  #since: number | undefined;
  #now = 0;

  /** @param settle how long equal answers must last where a pod is silent, milliseconds. */
  constructor(node: string, kubeletStart: number, settle: number) {
    this.#node = node;
    this.#kubeletStart = kubeletStart;
    this.#settle = settle;
  }

  /**
   * Adds an answer of the API server.
   *
   * @param asked when it was requested.
   * @param now when it arrived. Both by `performance.now()`.
   * @param says what the node says beyond that. @default nothing
   */
  add(pods: readonly V1Pod[], asked: number, now: number, says: NodeAnswer = noAnswer): void {
    const shown = JSON.stringify(pods.map((pod) => [pod.metadata?.uid, reportedAt(pod)]).sort());
    this.#last = judgeStaticPods(this.#node, pods, this.#kubeletStart, says);
    if (this.#last.unready.length > 0) this.#since = undefined;
    else if (shown !== this.#shown || now - asked > outage) this.#since = now;
    else this.#since ??= now;
    this.#shown = shown;
    this.#now = now;
  }

  /** Whether every pod is Ready and will not be restarted because of the kubelet's restart. */
  get isCertain(): boolean {
    return this.#since !== undefined && this.#remaining === 0;
  }

  /** Whether every pod is Ready, but of some the restarted kubelet has not said that they stay. */
  get isUncertain(): boolean {
    return this.#since !== undefined && this.#last.silent.length > 0;
  }

  /** Names of the pods that are missing or not Ready. */
  get unready(): readonly string[] {
    return this.#last.unready;
  }

  /** Milliseconds until equal answers are enough; undefined while a pod is not Ready. */
  get due(): number | undefined {
    return this.#since === undefined ? undefined : this.#remaining;
  }

  /** What is still missing, for an error. */
  get pending(): string[] {
    return [
      ...this.#last.unready.map((name) => `${name} is not Ready`),
      ...this.#last.silent.map((name) => `${name} is Ready only by a report from before the restart`),
    ];
  }

  get #remaining(): number {
    if (this.#last.silent.length === 0) return 0;
    return Math.max(0, this.#settle - (this.#now - (this.#since ?? this.#now)));
  }
}

/** Whose static pods to wait for. */
export interface StaticPodsWait {
  /** The control-plane node. */
  readonly node: string;
  /** The second in which its kubelet started, epoch milliseconds by its own clock. */
  readonly kubeletStart: number;
  /** How long equal answers must last where the kubelet has reported nothing new, milliseconds. */
  readonly settle: number;
  /** Hashes of the static pods that the restarted kubelet itself lists; empty when it cannot be asked. */
  readonly listed: () => Promise<ReadonlySet<string>>;
  /**
   * Whether something on the node answers at this URL as a probe expects. Not given where Ready must have
   * been reported by the kubelet. @default only what the kubelet reports counts
   */
  readonly answers?: (probe: string) => Promise<boolean>;
}

/**
 * Waits until the static pods of a control-plane node are Ready and have survived the restart of its kubelet.
 * Ends at once when the kubelet has reported on each of them since, or lists it with the hash that the API
 * shows; otherwise the API must show the same for `settle` without an outage. With `answers`, a pod whose
 * probes answer is Ready, too: the kubelet asks them only after ten seconds.
 *
 * @throws TimeoutError at the deadline, with the pods; otherwise as {@link KubernetesClient.call} does.
 */
export async function waitForStaticPods(
  client: KubernetesClient,
  { node, kubeletStart, settle, listed, answers }: StaticPodsWait,
  wait: Wait,
): Promise<void> {
  const observation = new StaticPodObservation(node, kubeletStart, settle);
  const selectors = { labelSelector: controlPlaneSelector, fieldSelector: `spec.nodeName=${node}` };
  const source = {
    path: '/api/v1/namespaces/kube-system/pods',
    query: selectors,
    async list() {
      const asked = performance.now();
      const answer = await client.call(`list the static pods of ${node}`, () =>
        client.core.listNamespacedPod({ namespace: 'kube-system', ...selectors }),
      );
      const answered = performance.now();
      const pods = answer.items.filter((pod) => componentOf(pod) !== undefined);
      const add = (says?: NodeAnswer) => observation.add(pods, asked, answered, says);
      add();
      const unready = pods.filter((pod) => observation.unready.includes(nameOf(pod)));
      const answering = answers === undefined ? noAnswer.answering : await namesAnswering(unready, answers);
      if (answering.size > 0) add({ ...noAnswer, answering });
      // What the kubelet lists is newer than the answer, so a hash that both have is of a pod that stays.
      if (observation.isUncertain) add({ listed: await listed(), answering });
      return answer;
    },
    due() {
      if (observation.due !== undefined) return Date.now() + Math.min(observation.due, askAgain);
      return answers === undefined ? undefined : Date.now() + askAgain;
    },
  };
  await waitForObjects<V1Pod, true>(
    client,
    source,
    `waiting for the static pods of ${node} after the restart of its kubelet`,
    () => observation.isCertain || undefined,
    wait,
    () => observation.pending,
  );
}

/** Names of the pods that have probes, all of which answer. */
async function namesAnswering(
  pods: readonly V1Pod[],
  answers: (probe: string) => Promise<boolean>,
): Promise<ReadonlySet<string>> {
  const isAnswering = async (pod: V1Pod) => {
    const probes = probesOf(pod) ?? [];
    return probes.length > 0 && (await Promise.all(probes.map(answers))).every(Boolean);
  };
  const found = await Promise.all(pods.map(async (pod) => ((await isAnswering(pod)) ? [nameOf(pod)] : [])));
  return new Set(found.flat());
}
