import type { KubeObject, Node } from './api/types.ts';
import type { ApiServer } from './api-server.ts';
import { kubeSystem } from './cluster-system.ts';
import { workload } from './cluster-workload.ts';
import type { LabNodeSpec } from './machine.ts';

/** The five nodes of the lab; addresses are loopback ones, so that SSH servers can listen there. */
export const labNodes: readonly LabNodeSpec[] = [
  { name: 'k8s-master', role: 'control-plane', address: '127.0.1.1' },
  { name: 'k8s-node1', role: 'worker', address: '127.0.1.2' },
  { name: 'k8s-node2', role: 'worker', address: '127.0.1.3' },
  { name: 'k8s-node3', role: 'worker', address: '127.0.1.4' },
  { name: 'k8s-node4', role: 'worker', address: '127.0.1.5' },
];

/** A highly available control plane and two workers. */
export const threeControlPlanes: readonly LabNodeSpec[] = [
  { name: 'k8s-master', role: 'control-plane', address: '127.0.1.1' },
  { name: 'k8s-master2', role: 'control-plane', address: '127.0.1.6' },
  { name: 'k8s-master3', role: 'control-plane', address: '127.0.1.7' },
  { name: 'k8s-node1', role: 'worker', address: '127.0.1.2' },
  { name: 'k8s-node2', role: 'worker', address: '127.0.1.3' },
];

export interface SeedOptions {
  /** Defaults to {@link labNodes}. */
  readonly nodes?: readonly LabNodeSpec[];
  /** Kubernetes release of every component, `X.Y.Z`. */
  readonly version: string;
  /** Node → the release of its kubelet, instead of `version`. */
  readonly releases?: Readonly<Record<string, string>>;
  /** Node → its version; 2.1.4 where it is not named. */
  readonly containerd?: Readonly<Record<string, string>>;
}

/** What a node runs, by the option of a lab. */
export const containerdOf = (name: string, versions: SeedOptions['containerd']): string =>
  versions?.[name] ?? '2.1.4';

const twoDays = 2 * 86_400_000;
const fortyDays = 40 * 86_400_000;
const ago = (ms: number): string => new Date(Date.now() - ms).toISOString().replace(/\.\d+Z$/, 'Z');

/**
 * Fills the lab as a small kubeadm cluster: nodes, the control plane's mirror pods, add-ons, and ordinary
 * workload. Resolves when all of it runs.
 */
export async function seedCluster(api: ApiServer, options: SeedOptions): Promise<void> {
  const nodes = options.nodes ?? labNodes;
  await Promise.all(nodes.map((node, i) => api.join(nodeObject(node, i, options))));
  await api.apply([...kubeSystem(nodes, options.version), ...workload(nodes)]);
  await api.settled();
}

/** A node as its kubelet reports it, Ready for two days. @param index of the node in its cluster. */
export function nodeObject(
  node: LabNodeSpec,
  index: number,
  { version, releases, containerd }: SeedOptions,
): KubeObject {
  const { name, role, address } = node;
  const controlPlane = role === 'control-plane';
  const capacity = { cpu: '4', memory: '8131852Ki', pods: '110', 'ephemeral-storage': '61202244Ki' };
  return {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: {
      name,
      creationTimestamp: ago(fortyDays),
      labels: {
        'beta.kubernetes.io/arch': 'amd64',
        'beta.kubernetes.io/os': 'linux',
        'kubernetes.io/arch': 'amd64',
        'kubernetes.io/hostname': name,
        'kubernetes.io/os': 'linux',
        ...(controlPlane
          ? {
              'node-role.kubernetes.io/control-plane': '',
              'node.kubernetes.io/exclude-from-external-load-balancers': '',
            }
          : {}),
      },
      annotations: { 'node.alpha.kubernetes.io/ttl': '0' },
    },
    spec: {
      podCIDR: `10.244.${index}.0/24`,
      podCIDRs: [`10.244.${index}.0/24`],
      ...(controlPlane
        ? { taints: [{ key: 'node-role.kubernetes.io/control-plane', effect: 'NoSchedule' }] }
        : {}),
    },
    status: {
      addresses: [
        { type: 'InternalIP', address },
        { type: 'Hostname', address: name },
      ],
      capacity,
      allocatable: capacity,
      conditions: nodeConditions(),
      nodeInfo: {
        architecture: 'amd64',
        bootID: crypto.randomUUID(),
        containerRuntimeVersion: `containerd://${containerdOf(name, containerd)}`,
        kernelVersion: '6.8.0-86-generic',
        kubeProxyVersion: `v${version}`,
        kubeletVersion: `v${releases?.[name] ?? version}`,
        machineID: crypto.randomUUID().replaceAll('-', ''),
        operatingSystem: 'linux',
        osImage: 'Ubuntu 24.04.3 LTS',
        systemUUID: crypto.randomUUID(),
      },
    } satisfies NonNullable<Node['status']>,
  };
}

function nodeConditions() {
  const since = { lastTransitionTime: ago(twoDays), lastHeartbeatTime: ago(30_000) };
  const fine = (type: string, reason: string, message: string) => ({
    type,
    status: 'False',
    reason,
    message,
    ...since,
  });
  return [
    fine('MemoryPressure', 'KubeletHasSufficientMemory', 'kubelet has sufficient memory available'),
    fine('DiskPressure', 'KubeletHasNoDiskPressure', 'kubelet has no disk pressure'),
    fine('PIDPressure', 'KubeletHasSufficientPID', 'kubelet has sufficient PID available'),
    {
      type: 'Ready',
      status: 'True',
      reason: 'KubeletReady',
      message: 'kubelet is posting ready status',
      ...since,
    },
  ];
}
