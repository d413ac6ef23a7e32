import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Rest } from '../lab/api/contract/rest.ts';
import { now } from '../lab/api/store.ts';
import type { KubeObject, Node } from '../lab/api/types.ts';
import { HollowKubelet } from './hollow-kubelet.ts';
import type { PodSources } from './pod-sources.ts';

const heartbeat = 2000;

export interface HollowNodeSpec {
  readonly name: string;
  /** InternalIP, of the loopback interface: the API server fetches logs there. */
  readonly address: string;
  readonly release?: string;
  readonly containerd?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly taints?: readonly object[];
}

/** Nodes of a real cluster that run nothing but their reports: Ready, versions, and what their pods would do. */
export class HollowNodes {
  readonly #rest: Rest;
  readonly #sources: PodSources;
  readonly #timers = new Map<string, NodeJS.Timeout>();
  readonly #kubelets = new Map<string, HollowKubelet>();

  constructor(rest: Rest, sources: PodSources) {
    this.#rest = rest;
    this.#sources = sources;
  }

  /** Registers a node and reports for it from then on. Resolves when it is Ready and takes pods. */
  async add(spec: HollowNodeSpec): Promise<void> {
    const { name } = spec;
    const kubelet = new HollowKubelet(this.#rest, this.#sources, spec);
    this.#kubelets.set(name, kubelet);
    await kubelet.listen();
    await this.#rest.ok('POST', '/api/v1/nodes', nodeObject(spec));
    await this.#rest.ok(
      'POST',
      '/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases',
      lease(name),
    );
    await this.#rest.patch(`/api/v1/nodes/${name}/status`, { status: statusOf(spec, kubelet.port) });
    this.#beat(name);
    // The node controller takes its taint away once the node has reported.
    await this.#rest.eventually(`/api/v1/nodes/${name}`, (node: Node) => notReadyTaint(node) === undefined);
    kubelet.start();
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
async function retried<T>(attempt: () => Promise<T>): Promise<T> {
  for (const deadline = Date.now() + 60_000; ; ) {
    try {
      return await attempt();
    } catch (error) {
      if (Date.now() > deadline) throw error;
      await sleep(100);
    }
  }
}

const before = (ms: number): string => new Date(Date.now() - ms).toISOString().replace(/\.\d+Z$/, 'Z');

const microTime = (): string => new Date().toISOString().replace('Z', '000Z');

const notReadyTaint = (node: Node) =>
  node.spec?.taints?.find(({ key }) => key === 'node.kubernetes.io/not-ready');

function nodeObject({ name, labels, taints = [] }: HollowNodeSpec): KubeObject {
  const own = { 'kubernetes.io/hostname': name, 'kubernetes.io/os': 'linux', 'kubernetes.io/arch': 'amd64' };
  const metadata = { name, labels: { ...own, ...labels } };
  return { apiVersion: 'v1', kind: 'Node', metadata, spec: { taints } };
}

const lease = (name: string): KubeObject => ({
  apiVersion: 'coordination.k8s.io/v1',
  kind: 'Lease',
  metadata: { name, namespace: 'kube-node-lease' },
  spec: { holderIdentity: name, leaseDurationSeconds: 40, renewTime: microTime() },
});

function statusOf(spec: HollowNodeSpec, port: number): Node['status'] {
  const { name, address, release = '1.34.2', containerd = '2.1.4' } = spec;
  const capacity = { cpu: '4', memory: '8131852Ki', pods: '110', 'ephemeral-storage': '61202244Ki' };
  // Ready for so long that nobody waits for quiet.
  const since = { lastTransitionTime: before(2 * 86_400_000), lastHeartbeatTime: now() };
  const condition = (type: string, status: string, reason: string) => ({
    type,
    status,
    reason,
    message: '',
    ...since,
  });
  return {
    addresses: [
      { type: 'InternalIP', address },
      { type: 'Hostname', address: name },
    ],
    capacity,
    allocatable: capacity,
    daemonEndpoints: { kubeletEndpoint: { Port: port } } as never,
    conditions: [
      condition('MemoryPressure', 'False', 'KubeletHasSufficientMemory'),
      condition('DiskPressure', 'False', 'KubeletHasNoDiskPressure'),
      condition('PIDPressure', 'False', 'KubeletHasSufficientPID'),
      condition('Ready', 'True', 'KubeletReady'),
    ],
    nodeInfo: {
      architecture: 'amd64',
      bootID: randomUUID(),
      containerRuntimeVersion: `containerd://${containerd}`,
      kernelVersion: '6.8.0-86-generic',
      kubeProxyVersion: '',
      kubeletVersion: `v${release}`,
      machineID: randomUUID(),
      operatingSystem: 'linux',
      osImage: 'Ubuntu 24.04.3 LTS',
      systemUUID: randomUUID(),
    },
  };
}
