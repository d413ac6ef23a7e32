import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { issueServerIdentity } from '../lab/api/auth/pki.ts';
import type { Rest, WatchEvent } from '../lab/api/contract/rest.ts';
import {
  type ContainerStatus,
  completed,
  endedStatus,
  runningStatus,
  setReady,
} from '../lab/api/controllers/container-status.ts';
import { isFinished, isReady } from '../lab/api/controllers/pods.ts';
import { serveLog } from '../lab/api/pods/log.ts';
import { MissingVolumeSource } from '../lab/api/pods/volumes.ts';
import { StatusError } from '../lab/api/status.ts';
import { now } from '../lab/api/store.ts';
import type { Container, Pod, PodStatus } from '../lab/api/types.ts';
import type { PodSources } from './pod-sources.ts';

/**
 * From bound until the process runs, milliseconds. A real kubelet takes longer, and whoever follows a pod has
 * to wait for it.
 */
const startDelay = 300;

/**
 * From the end of a pod until it is gone, milliseconds; a real kubelet takes longer. A pod of a StatefulSet
 * comes back under its name. Were it gone at once, the disruption controller could miss that, and would count
 * the new one as evicted for two minutes (DeletionTimeout in pkg/controller/disruption).
 */
const stopDelay = 1000;

/**
 * One node's kubelet: its pods start, end and vanish as their specs say; those of known images are processes.
 */
export class HollowKubelet {
  readonly #rest: Rest;
  readonly #sources: PodSources;
  readonly #node: { readonly name: string; readonly address: string };
  readonly #pods = new Map<string, { pod: Pod; stopping: boolean }>();
  #server: Server | undefined;
  #stopWatch = (): void => undefined;
  #stopped = false;
  #restoreUntil = 0;
  /** By name, as their mirror pods were last. */
  readonly #staticPods = new Map<string, Pod>();
  #registered = true;
  /** Pending while the power is off: nothing of its pods is reported. */
  #power: Promise<void> = Promise.resolve();
  #switchOn = (): void => undefined;

  constructor(rest: Rest, sources: PodSources, node: { name: string; address: string }) {
    this.#rest = rest;
    this.#sources = sources;
    this.#node = node;
  }

  /** Where the API server fetches logs; known once {@link listen} has resolved. */
  get port(): number {
    return (this.#server?.address() as AddressInfo | null)?.port ?? 0;
  }

  /** @throws when the node's address cannot be listened on. */
  async listen(): Promise<void> {
    const { certPem: cert, keyPem: key } = await issueServerIdentity();
    this.#server = createServer({ cert, key }, (request, response) => this.#serve(request, response));
    this.#server.listen(0, this.#node.address);
    await once(this.#server, 'listening');
  }

  /** Follows the pods that are bound to the node. */
  start(): void {
    const ownPods = `/api/v1/pods?fieldSelector=spec.nodeName%3D${this.#node.name}`;
    this.#stopWatch = this.#rest.follow(ownPods, (event) => this.#changed(event));
  }

  /**
   * Once its node was not Ready: the node controller has said so of its pods, and the kubelet says that they
   * are well.
   */
  restore(): void {
    this.#restoreUntil = Date.now() + 15_000;
    for (const { pod } of this.#pods.values()) this.#restorePod(pod);
  }

  /** Its node has left: static pods are not reported any more. */
  unregister(): void {
    this.#registered = false;
  }

  /** Its node is back, with its static pods. */
  register(): void {
    this.#registered = true;
    for (const pod of this.#staticPods.values()) this.#inBackground(this.#mirror(pod));
  }

  /** Creates the mirror pod of a static pod again. */
  async #mirror({ metadata, spec }: Pod): Promise<void> {
    const { name, namespace, labels, annotations } = metadata;
    const body = { metadata: { name, namespace, labels, annotations }, spec };
    await this.#persist('POST', `/api/v1/namespaces/${namespace}/pods`, body);
  }

  /** Its processes die, and nothing is reported until {@link powerOn}. */
  powerOff(): void {
    this.#power = new Promise((resolve) => {
      this.#switchOn = resolve;
    });
    for (const { pod } of this.#pods.values()) this.#sources.runner.kill(pod.metadata.name, 'SIGKILL');
  }

  powerOn(): void {
    this.#switchOn();
    this.restore();
  }

  #restorePod(pod: Pod): void {
    const { runner } = this.#sources;
    if (
      Date.now() > this.#restoreUntil ||
      pod.status?.phase !== 'Running' ||
      isReady(pod) ||
      runner.runs(pod)
    )
      return;
    this.#inBackground(this.#report(pod, 'Running', (c) => runningStatus(c, 0)));
  }

  stop(): void {
    this.#stopped = true;
    this.#switchOn();
    this.#stopWatch();
    this.#server?.close();
    this.#server?.closeAllConnections();
  }

  /** `/containerLogs/<namespace>/<pod>/<container>`, as the API server asks. */
  #serve(request: IncomingMessage, response: ServerResponse): void {
    const { pathname, searchParams } = new URL(request.url ?? '/', 'https://kubelet');
    const [, , namespace, name, container = ''] = pathname.split('/');
    const known = [...this.#pods.values()].find(
      ({ pod }) => pod.metadata.namespace === namespace && pod.metadata.name === name,
    );
    searchParams.set('container', container);
    const { runner } = this.#sources;
    try {
      if (known === undefined) throw new Error(`no pod ${namespace}/${name}`);
      serveLog(known.pod, searchParams, (...of) => runner.log(...of), response);
    } catch (error) {
      const code = error instanceof StatusError ? error.status.code : 404;
      response.writeHead(code, { 'Content-Type': 'text/plain' }).end((error as Error).message);
    }
  }

  #changed({ type, object }: WatchEvent): void {
    const pod = object as unknown as Pod;
    if (this.#stopped || type === 'BOOKMARK' || type === 'ERROR') return;
    this.#sources.note(pod, type === 'DELETED');
    const known = this.#pods.get(pod.metadata.uid);
    if (pod.metadata.annotations?.[mirrorAnnotation] !== undefined)
      this.#staticPods.set(pod.metadata.name, pod);
    if (type === 'DELETED') {
      this.#pods.delete(pod.metadata.uid);
      // The manifest is still on the node.
      if (this.#registered && this.#staticPods.has(pod.metadata.name)) this.#inBackground(this.#mirror(pod));
      return;
    }
    if (known === undefined) this.#pods.set(pod.metadata.uid, { pod, stopping: false });
    else known.pod = pod;
    if (pod.metadata.deletionTimestamp !== undefined) this.#inBackground(this.#end(pod));
    else this.#restorePod(pod);
    if (pod.metadata.deletionTimestamp === undefined && known === undefined && !isFinished(pod))
      this.#inBackground(this.#begin(pod));
  }

  /** A failure is logged, unless the pod or the cluster is gone. */
  #inBackground(work: Promise<void>): void {
    work.catch((error: Error) => {
      if (!this.#stopped && !/: 404 /.test(error.message)) console.error(`hollow ${this.#node.name}:`, error);
    });
  }

  async #begin(pod: Pod): Promise<void> {
    const containers = pod.spec?.containers ?? [];
    if (!this.#sources.runner.runs(pod)) {
      await this.#report(pod, 'Running', (c) => runningStatus(c, 0));
      if (pod.spec?.restartPolicy === 'Always') return;
      await this.#report(pod, 'Succeeded', (c) => endedStatus(c, 0, completed()));
      return;
    }
    const [container] = containers;
    if (container === undefined) return;
    await sleep(startDelay);
    if (this.#pods.get(pod.metadata.uid)?.stopping !== false) return;
    const exit = await this.#run(pod, container);
    await this.#report(pod, exit.code === 0 ? 'Succeeded' : 'Failed', (c) => endedStatus(c, 0, exit));
  }

  /** Waits for ConfigMaps and Secrets that are not there yet. */
  async #run(pod: Pod, container: Container) {
    let started: Promise<void> = Promise.resolve();
    for (;;) {
      await this.#sources.fetch(pod);
      try {
        const exit = await this.#sources.runner.run(pod, container, () => {
          started = this.#report(pod, 'Running', (c) => runningStatus(c, 0)).catch(() => undefined);
        });
        await started;
        return exit;
      } catch (error) {
        if (!(error instanceof MissingVolumeSource) || !this.#pods.has(pod.metadata.uid)) throw error;
        await sleep(100);
      }
    }
  }

  /** SIGTERM, then SIGKILL; the pod goes when nothing of it runs any more. */
  async #end(pod: Pod): Promise<void> {
    const known = this.#pods.get(pod.metadata.uid);
    if (known === undefined || known.stopping) return;
    known.stopping = true;
    const { name, namespace, deletionGracePeriodSeconds: grace = 30, uid } = pod.metadata;
    const { runner } = this.#sources;
    if (runner.runs(pod) && runner.kill(name, 'SIGTERM')) {
      const timer = setTimeout(() => runner.kill(name, 'SIGKILL'), grace * 1000);
      while (!isFinished(known.pod) && this.#pods.has(uid) && !this.#stopped) await pause();
      clearTimeout(timer);
    } else if (!isFinished(known.pod)) {
      const exit = completed();
      // Whatever is said of it, it goes.
      await this.#report(pod, 'Succeeded', (c) => endedStatus(c, 0, exit)).catch((error) =>
        console.error(`hollow ${this.#node.name}:`, error),
      );
      await sleep(stopDelay);
    }
    const path = `/api/v1/namespaces/${namespace}/pods/${name}`;
    await this.#persist('DELETE', path, { gracePeriodSeconds: 0, preconditions: { uid } });
  }

  async #report(pod: Pod, phase: string, statusOf: (container: Container) => ContainerStatus): Promise<void> {
    const ready = phase === 'Running';
    const reason = phase === 'Succeeded' ? 'PodCompleted' : 'PodFailed';
    const status: PodStatus = {
      phase,
      startTime: pod.status?.startTime ?? now(),
      hostIP: this.#node.address,
    };
    status.containerStatuses = (pod.spec?.containers ?? []).map(statusOf);
    setReady(status, ready, ready ? undefined : reason);
    const { namespace, name, uid } = pod.metadata;
    await this.#persist('PATCH', `/api/v1/namespaces/${namespace}/pods/${name}/status`, {
      metadata: { uid },
      status,
    });
  }

  /** Until the API server has taken it: it may be away for a while. */
  async #persist(method: 'PATCH' | 'DELETE' | 'POST', path: string, body: object): Promise<void> {
    const type = method === 'PATCH' ? 'application/strategic-merge-patch+json' : undefined;
    await this.#power;
    while (!this.#stopped) {
      const answer = await this.#rest.send(method, path, body, type).catch(() => undefined);
      // Another pod of the same name, or none: this one is gone.
      if (answer !== undefined && (answer.code < 300 || answer.code === 404)) return;
      // Of a deletion: the pod is another by now. Of a creation: it is there. Of a report: somebody else
      // wrote at the same time.
      if (answer?.code === 409 && method !== 'PATCH') return;
      if (answer !== undefined && answer.code < 500 && ![409, 429].includes(answer.code))
        throw new Error(`${method} ${path}: ${answer.code} ${JSON.stringify(answer.body)}`);
      await pause();
    }
  }
}

const mirrorAnnotation = 'kubernetes.io/config.mirror';
const pause = () => sleep(50);
