import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Rest } from '../lab/api/contract/rest.ts';
import { now } from '../lab/api/store.ts';
import type { KubeObject, Node } from '../lab/api/types.ts';
import { HollowKubelet } from './hollow-kubelet.ts';
import type { PodSources } from './pod-sources.ts';

const heartbeat = 2000;

/**
 * Nodes of a real cluster that run nothing but their reports: Ready, versions, and what their pods would do.
 */
export class HollowNodes {
  readonly #rest: Rest;
  readonly #sources: PodSources;
  readonly #timers = new Map<string, NodeJS.Timeout>();
  readonly #kubelets = new Map<string, HollowKubelet>();

  constructor(rest: Rest, sources: PodSources) {
    this.#rest = rest;
    this.#sources = sources;
  }

  /**
   * Registers a node and reports for it from then on; one that has left comes back. Resolves when it is Ready
   * and takes pods.
   *
   * @param node what it reports. Its InternalIP is one of the loopback interface: the API server fetches logs
   * there.
   */
  async add(node: KubeObject): Promise<void> {
    const { name = '', labels, annotations } = node.metadata ?? {};
    const known = this.#kubelets.get(name);
    const kubelet = known ?? new HollowKubelet(this.#rest, this.#sources, { name, address: addressOf(node) });
    if (known === undefined) {
      this.#kubelets.set(name, kubelet);
      await kubelet.listen();
      const leases = '/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases';
      await this.#rest.ok('POST', leases, lease(name));
    }
    const metadata = { name, labels, annotations };
    await this.#rest.ok('POST', '/api/v1/nodes', { ...node, metadata, status: {} });
    const daemonEndpoints = { kubeletEndpoint: { Port: kubelet.port } };
    const status = { ...(node.status as object), daemonEndpoints };
    await this.#rest.patch(`/api/v1/nodes/${name}/status`, { status });
    if (known === undefined) this.#beat(name);
    // The node controller takes its taint away once the node has reported.
    await this.#rest.eventually(`/api/v1/nodes/${name}`, (found: Node) => notReadyTaint(found) === undefined);
    if (known === undefined) kubelet.start();
    else kubelet.register();
  }

  /** Before its Node is taken away. */
  leave(name: string): void {
    this.#kubelets.get(name)?.unregister();
  }

  /** What its kubelet reports from now on. */
  async report(name: string, nodeInfo: { kubeletVersion?: string; containerRuntimeVersion?: string }) {
    await retried(() => this.#rest.patch(`/api/v1/nodes/${name}/status`, { status: { nodeInfo } }));
  }

  /** Its kubelet comes back at this release: not Ready for a moment, then Ready again. */
  async restarted(name: string, release: string, containerd: string): Promise<void> {
    const runtime = containerd === '' ? {} : { containerRuntimeVersion: `containerd://${containerd}` };
    await this.#setReady(name, 'False', 'KubeletNotReady');
    await this.report(name, { kubeletVersion: `v${release}`, ...runtime });
    await sleep(1000);
    await this.#setReady(name, 'True', 'KubeletReady');
    this.#kubelets.get(name)?.restore();
  }

  /** The power goes, with every process of its pods, or it is back. */
  async power(name: string, on: boolean): Promise<void> {
    const kubelet = this.#kubelets.get(name);
    if (!on) {
      kubelet?.powerOff();
      await this.#setReady(name, 'Unknown', 'NodeStatusUnknown');
      return;
    }
    await retried(() =>
      this.#rest.patch(`/api/v1/nodes/${name}/status`, { status: { nodeInfo: { bootID: randomUUID() } } }),
    );
    await this.#setReady(name, 'True', 'KubeletReady');
    kubelet?.powerOn();
  }

  async #setReady(name: string, status: string, reason: string): Promise<void> {
    const conditions = [
      { type: 'Ready', status, reason, lastTransitionTime: now(), lastHeartbeatTime: now() },
    ];
    const path = `/api/v1/nodes/${name}/status`;
    await retried(() => this.#rest.patch(path, { status: { conditions } }, 'strategic'));
  }

  stop(): void {
    for (const timer of this.#timers.values()) clearInterval(timer);
    for (const kubelet of this.#kubelets.values()) kubelet.stop();
  }

  #beat(name: string): void {
    const path = `/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/${name}`;
    const renew = () => this.#rest.patch(path, { spec: { renewTime: microTime() } }).catch(() => undefined);
    this.#timers.set(name, setInterval(renew, heartbeat));
  }
}

/** The API server may be away for a while. */
export async function retried<T>(attempt: () => Promise<T>): Promise<T> {
  for (const deadline = Date.now() + 60_000; ; ) {
    try {
      return await attempt();
    } catch (error) {
      if (Date.now() > deadline) throw error;
      await sleep(100);
    }
  }
}

const microTime = (): string => new Date().toISOString().replace('Z', '000Z');

const notReadyTaint = (node: Node) =>
  node.spec?.taints?.find(({ key }) => key === 'node.kubernetes.io/not-ready');

function addressOf({ status, metadata }: KubeObject): string {
  const { addresses = [] } = status as NonNullable<Node['status']>;
  const found = addresses.find(({ type }) => type === 'InternalIP');
  if (found === undefined) throw new Error(`the node ${metadata?.name} has no InternalIP`);
  return found.address;
}

const lease = (name: string): KubeObject => ({
  apiVersion: 'coordination.k8s.io/v1',
  kind: 'Lease',
  metadata: { name, namespace: 'kube-node-lease' },
  spec: { holderIdentity: name, leaseDurationSeconds: 40, renewTime: microTime() },
});
