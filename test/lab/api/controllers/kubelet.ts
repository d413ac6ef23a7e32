import { createHash, randomUUID } from 'node:crypto';
import type { Exit, PodRunner } from '../pods/runner.ts';
import { MissingVolumeSource } from '../pods/volumes.ts';
import { resourceNamed } from '../resources.ts';
import { type Change, now } from '../store.ts';
import type { Container, Pod, PodStatus } from '../types.ts';
import {
  type ContainerStatus,
  completed,
  endedStatus,
  mergeStatuses,
  runningStatus,
  setReady,
} from './container-status.ts';
import type { Kit } from './kit.ts';
import { setReachable } from './node-state.ts';
import { isFinished } from './pods.ts';

interface Work {
  stopping: boolean;
  readonly cancel: (() => void)[];
}

/**
 * A kubelet of another minor computes other hashes of the static pods, and so recreates them some time after
 * it started (F69). Times in milliseconds.
 */
export interface StaticPodRecreation {
  /** From its start until it kills them; so long the API shows what the kubelet before it reported. */
  readonly after: number;
  /** How long the API server is away from then on. */
  readonly apiServerAway: number;
  /** From the kill until they are Ready. */
  readonly ready: number;
}

const mirrorAnnotation = 'kubernetes.io/config.mirror';
const hashAnnotation = 'kubernetes.io/config.hash';

/** What a kubelet of another minor makes of the same manifest. */
const otherHash = (hash: string): string => createHash('md5').update(hash).digest('hex');

/** The kubelets of all nodes: they start, stop and remove pods. Pods with a known image run as processes. */
export class Kubelets {
  /** How kubelets recreate the static pods of their node after a restart. @default they leave them alone */
  recreation: StaticPodRecreation | undefined;
  /**
   * Whether kubelets probe the static pods that kubeadm has replaced only after their own restart. @default
   * at once
   */
  probesLate = false;
  /** Nodes whose network add-on does not work: no pod of theirs gets an address. */
  readonly withoutNetwork = new Set<string>();
  readonly #kit: Kit;
  readonly #runner: PodRunner;
  readonly #outage: (ms: number) => void;
  readonly #down = new Set<string>();
  readonly #work = new Map<string, Work>();
  readonly #waiting = new Map<string, (() => void)[]>();
  #address = 10;

  /** @param outage takes the API server away for this long, milliseconds. */
  constructor(kit: Kit, runner: PodRunner, outage: (ms: number) => void) {
    this.#kit = kit;
    this.#runner = runner;
    this.#outage = outage;
  }

  /** Starts the kubelets. Returns a function that stops them. */
  start(): () => void {
    return this.#kit.store.subscribe((change) => {
      if (change.resource === 'pods') this.#kit.guard(() => this.#changed(change));
    });
  }

  /**
   * Stops the node's kubelet: pods there neither start nor stop, and Ready becomes Unknown. Processes keep
   * running.
   */
  setDown(node: string): void {
    this.#down.add(node);
    setReachable(this.#kit, node, false);
  }

  /** Starts the node's kubelet again; it catches up with its pods. */
  setUp(node: string): void {
    this.#down.delete(node);
    for (const resolve of this.#waiting.get(node)?.splice(0) ?? []) resolve();
    setReachable(this.#kit, node, true);
    for (const pod of this.#kit.store.list('pods')) if (pod.spec?.nodeName === node) this.#sync(pod);
  }

  /** kubeadm has replaced the node's static pods: their containers run since now. */
  replaced(node: string): void {
    for (const pod of this.#staticPodsOn(node)) {
      this.#update(pod, (status) => {
        for (const container of status.containerStatuses ?? [])
          container.state = { running: { startedAt: now() } };
        if (this.probesLate) setReady(status, false, 'ContainersNotReady');
      });
    }
  }

  /** The node's kubelet has restarted: it reports Ready and, later, recreates static pods if it is to. */
  restarted(node: string): void {
    if (this.#down.has(node)) return;
    setReachable(this.#kit, node, true);
    if (this.probesLate)
      for (const pod of this.#staticPodsOn(node)) this.#update(pod, (status) => setReady(status, true));
    const { recreation } = this;
    if (recreation !== undefined)
      this.#kit.deadline(recreation.after, () => this.#recreateStaticPods(node, recreation));
  }

  /** The hashes of the node's static pods as its kubelet computes them, by pod. */
  listedStaticPods(node: string): Record<string, string> {
    const hashes = this.#podsOn(node).flatMap(({ metadata: { name, annotations = {} } }) => {
      const hash = annotations[hashAnnotation];
      return hash === undefined ? [] : [[name, this.recreation === undefined ? hash : otherHash(hash)]];
    });
    return Object.fromEntries(hashes);
  }

  /** Until now the pods were shown as the kubelet before the restart reported them. */
  #recreateStaticPods(node: string, { apiServerAway, ready }: StaticPodRecreation): void {
    const pods = this.#staticPodsOn(node);
    if (pods.length === 0) return;
    for (const { metadata, ...pod } of pods) {
      this.#kit.store.remove('pods', metadata.namespace, metadata.name);
      const status = structuredClone(pod.status ?? {});
      setReady(status, false, 'ContainersNotReady');
      const { name, namespace, labels, annotations = {} } = metadata;
      const hash = otherHash(annotations[hashAnnotation] ?? '');
      const hashes = { [hashAnnotation]: hash, [mirrorAnnotation]: hash };
      const recreated = { name, namespace, labels, annotations: { ...annotations, ...hashes } };
      this.#kit.registry.seed({ ...pod, metadata: recreated, status });
    }
    this.#outage(apiServerAway);
    this.#kit.deadline(ready, () => {
      for (const { metadata } of pods) {
        const pod = this.#kit.store.get('pods', metadata.namespace, metadata.name);
        if (pod === undefined) continue;
        this.#restarted(pod);
        this.#update(pod, (status) => setReady(status, true));
      }
    });
  }

  #staticPodsOn(node: string): readonly Pod[] {
    return this.#podsOn(node).filter(({ metadata }) => mirrorAnnotation in (metadata.annotations ?? {}));
  }

  /** Like {@link setDown}, and kills the node's processes. */
  powerOff(node: string): void {
    this.setDown(node);
    for (const pod of this.#podsOn(node)) this.#runner.kill(pod.metadata.name, 'SIGKILL');
  }

  /** Like {@link setUp}, after a boot: containers have been restarted and the boot ID is new. */
  powerOn(node: string): void {
    for (const pod of this.#podsOn(node)) if (!this.#runner.runs(pod)) this.#restarted(pod);
    this.#kit.store.modify('nodes', undefined, node, ({ status }) => {
      if (status?.nodeInfo !== undefined) status.nodeInfo.bootID = randomUUID();
    });
    this.setUp(node);
  }

  /** The node's unfinished pods. */
  #podsOn(node: string): Pod[] {
    return this.#kit.store.list('pods').filter((p) => p.spec?.nodeName === node && !isFinished(p));
  }

  #restarted(pod: Pod): void {
    this.#update(pod, (status) => {
      for (const container of status.containerStatuses ?? []) {
        container.restartCount += 1;
        const { startedAt } = container.state?.running ?? {};
        const terminated = {
          exitCode: 255,
          reason: 'Unknown',
          finishedAt: now(),
          ...(startedAt === undefined ? {} : { startedAt }),
        };
        container.lastState = { terminated };
        container.state = { running: { startedAt: now() } };
      }
    });
  }

  /** Resolves once the node's kubelet is up; until then nothing on the node is reported. */
  #whenUp(node: string): Promise<void> {
    if (!this.#down.has(node)) return Promise.resolve();
    return new Promise((resolve) => {
      this.#waiting.set(node, [...(this.#waiting.get(node) ?? []), resolve]);
    });
  }

  #changed({ type, object }: Change): void {
    const pod = object as Pod;
    if (type === 'DELETED') this.#vanished(pod);
    else this.#sync(pod);
  }

  #sync(pod: Pod): void {
    const { uid, deletionTimestamp } = pod.metadata;
    const node = pod.spec?.nodeName ?? '';
    if (node === '' || this.#down.has(node)) return;
    if (deletionTimestamp !== undefined) {
      this.#stopPod(pod);
      return;
    }
    if (isFinished(pod) || this.#work.has(uid) || pod.status?.phase === 'Running') return;
    const work: Work = { stopping: false, cancel: [] };
    this.#work.set(uid, work);
    work.cancel.push(this.#kit.later(this.#kit.timings.podStart, () => this.#startPod(pod, work)));
  }

  #startPod(pod: Pod, work: Work): void {
    if (pod.spec?.hostNetwork !== true && this.withoutNetwork.has(pod.spec?.nodeName ?? '')) {
      const message =
        'Failed to create pod sandbox: plugin type="flannel" failed (add): open /run/flannel/subnet.env: no such file or directory';
      this.#kit.event(pod, {
        type: 'Warning',
        reason: 'FailedCreatePodSandBox',
        message,
        component: 'kubelet',
      });
      work.cancel.push(this.#kit.later(this.#kit.timings.jobBackoff, () => this.#startPod(pod, work)));
      return;
    }
    if (this.#runner.runs(pod)) {
      this.#runProcesses(pod, work).catch((error) => console.error('lab kubelet:', error));
      return;
    }
    const containers = pod.spec?.containers ?? [];
    this.#setRunning(
      pod,
      containers.map((c) => runningStatus(c, 0)),
    );
    if (pod.spec?.restartPolicy === 'Always' || pod.spec?.restartPolicy === undefined) return;
    const end = () =>
      this.#setFinished(
        pod,
        containers.map((c) => endedStatus(c, 0, completed())),
      );
    work.cancel.push(this.#kit.later(this.#kit.timings.podRun, end));
  }

  async #runProcesses(pod: Pod, work: Work): Promise<void> {
    const statuses = await Promise.all(
      (pod.spec?.containers ?? []).map((c) => this.#runContainer(pod, c, work)),
    );
    await this.#whenUp(pod.spec?.nodeName ?? '');
    if (this.#kit.stopped) return;
    this.#kit.guard(() => {
      this.#setFinished(pod, statuses);
      if (work.stopping) this.#finalDelete(pod);
    });
  }

  async #runContainer(pod: Pod, container: Container, work: Work): Promise<ContainerStatus> {
    for (let restarts = 0; ; restarts += 1) {
      const exit = await this.#attempt(pod, container, restarts);
      const again = pod.spec?.restartPolicy === 'OnFailure' && exit.code !== 0;
      if (!again || work.stopping || this.#kit.stopped) return endedStatus(container, restarts, exit);
      await new Promise<void>((resolve) => {
        work.cancel.push(this.#kit.later(this.#kit.timings.jobBackoff, resolve), resolve);
      });
    }
  }

  async #attempt(pod: Pod, container: Container, restarts: number): Promise<Exit> {
    for (;;) {
      try {
        return await this.#runner.run(pod, container, () => {
          this.#kit.guard(() => this.#setRunning(pod, [runningStatus(container, restarts)]));
        });
      } catch (error) {
        if (!(error instanceof MissingVolumeSource) || this.#kit.stopped) throw error;
        const message = `MountVolume.SetUp failed: ${error.message}`;
        this.#kit.event(pod, { type: 'Warning', reason: 'FailedMount', message, component: 'kubelet' });
        if (!(await this.#changeOf(pod))) return { code: 137, reason: 'Error', startedAt: now() };
      }
    }
  }

  /** Resolves with true when any ConfigMap or Secret changes, with false when the pod is being deleted. */
  #changeOf(pod: Pod): Promise<boolean> {
    return new Promise((resolve) => {
      const stop = this.#kit.store.subscribe(({ resource, object, type }) => {
        const own = object.metadata.uid === pod.metadata.uid;
        const gone = own && (type === 'DELETED' || object.metadata.deletionTimestamp !== undefined);
        if (!gone && resource !== 'configmaps' && resource !== 'secrets') return;
        stop();
        resolve(!gone);
      });
    });
  }

  #stopPod(pod: Pod): void {
    const { uid, deletionGracePeriodSeconds: grace = 30 } = pod.metadata;
    const work = this.#work.get(uid) ?? { stopping: false, cancel: [] };
    this.#work.set(uid, work);
    if (work.stopping) return;
    work.stopping = true;
    const running = this.#runner.runs(pod) && pod.status?.phase === 'Running';
    for (const cancel of work.cancel.splice(0)) cancel();
    this.#kit.event(pod, {
      reason: 'Killing',
      message: `Stopping container ${pod.spec?.containers[0]?.name ?? ''}`,
      component: 'kubelet',
    });
    if (running && this.#runner.kill(pod.metadata.name, 'SIGTERM')) {
      work.cancel.push(
        this.#kit.deadline(grace * 1000, () => this.#runner.kill(pod.metadata.name, 'SIGKILL')),
      );
      return;
    }
    const delay = Math.min(this.#kit.timings.podStop, grace * 1000);
    this.#kit.later(delay, () => {
      if (this.#down.has(pod.spec?.nodeName ?? '')) {
        work.stopping = false;
        return;
      }
      const ended = (pod.spec?.containers ?? []).map((c) => endedStatus(c, 0, completed()));
      if (!isFinished(pod)) this.#setFinished(pod, ended);
      this.#finalDelete(pod);
    });
  }

  #finalDelete({ metadata }: Pod): void {
    const preconditions = { uid: metadata.uid };
    this.#kit.guard(() =>
      this.#kit.registry.delete(resourceNamed('pods'), metadata.namespace, metadata.name, {
        gracePeriodSeconds: 0,
        preconditions,
      }),
    );
  }

  #vanished(pod: Pod): void {
    const work = this.#work.get(pod.metadata.uid);
    for (const cancel of work?.cancel ?? []) cancel();
    this.#work.delete(pod.metadata.uid);
    if (this.#runner.runs(pod)) {
      this.#runner.kill(pod.metadata.name, 'SIGKILL');
      this.#runner.forget(pod).catch((error) => console.error('lab kubelet:', error));
    }
    if (pod.metadata.annotations?.[mirrorAnnotation] === undefined) return;
    // The static pod keeps running; only its mirror is created again.
    this.#kit.later(this.#kit.timings.podStart, () => {
      if (this.#kit.store.get('pods', pod.metadata.namespace, pod.metadata.name) !== undefined) return;
      const {
        uid: _,
        creationTimestamp: __,
        resourceVersion: ___,
        deletionTimestamp: ____,
        deletionGracePeriodSeconds: _____,
        ...metadata
      } = pod.metadata;
      this.#kit.registry.seed({ ...pod, metadata });
    });
  }

  #setRunning(pod: Pod, statuses: readonly ContainerStatus[]): void {
    const first = this.#update(pod, (status) => {
      status.phase = 'Running';
      status.startTime ??= now();
      const node = this.#kit.store.get('nodes', undefined, pod.spec?.nodeName ?? '');
      const hostIP = node?.status?.addresses?.find((a) => a.type === 'InternalIP')?.address ?? '';
      status.hostIP = hostIP;
      status.podIP ??= pod.spec?.hostNetwork === true ? hostIP : this.#nextAddress();
      status.podIPs = [{ ip: status.podIP }];
      status.containerStatuses = mergeStatuses(status.containerStatuses, statuses);
      setReady(status, true);
    });
    if (!first) return;
    for (const { name, image } of statuses) {
      this.#kit.event(pod, {
        reason: 'Pulled',
        message: `Container image "${image}" already present on machine`,
        component: 'kubelet',
      });
      this.#kit.event(pod, { reason: 'Started', message: `Started container ${name}`, component: 'kubelet' });
    }
  }

  #nextAddress(): string {
    this.#address += 1;
    return `10.244.${(this.#address >> 8) & 255}.${this.#address & 255}`;
  }

  #setFinished(pod: Pod, statuses: readonly ContainerStatus[]): void {
    const failed = statuses.some((s) => s.state?.terminated?.exitCode !== 0);
    this.#update(pod, (status) => {
      status.phase = failed ? 'Failed' : 'Succeeded';
      status.containerStatuses = [...statuses];
      setReady(status, false, failed ? 'PodFailed' : 'PodCompleted');
    });
  }

  /** Changes the pod's status. Returns false when the pod was removed or replaced. */
  #update(pod: Pod, change: (status: PodStatus) => void): boolean {
    let done = false;
    this.#kit.store.modify('pods', pod.metadata.namespace, pod.metadata.name, (p) => {
      if (p.metadata.uid !== pod.metadata.uid) return;
      p.status ??= {};
      change(p.status);
      done = true;
    });
    return done;
  }
}
