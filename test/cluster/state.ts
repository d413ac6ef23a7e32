import { annotationKeys, objectNames } from '../../runtime/src/names.ts';
import type { Node as NodeObject, Pod } from '../lab/api/types.ts';
import { type KubeadmCluster, unready } from './cluster.ts';
import type { Node } from './node.ts';

/** One node, as it is. Empty lists are as they should be. */
export interface NodeState {
  /** Reported by the kubelet, without `v`. */
  readonly kubelet: string;
  /** Installed Debian versions by package. */
  readonly packages: Readonly<Record<string, string>>;
  readonly held: readonly string[];
  readonly cordoned: boolean;
  /** The pipeline's annotations. */
  readonly annotations: readonly string[];
  /** Images of the containers that the API and the container runtime agree to be running, by component. */
  readonly images: Readonly<Record<string, string>>;
}

/** The namespace's annotations of a rollout, and every node. */
export interface ClusterState {
  readonly inFlight: string | undefined;
  readonly nodes: Readonly<Record<string, NodeState>>;
  /** Pods that are not Ready, less finished ones. */
  readonly unready: readonly string[];
}

const packages = ['kubeadm', 'kubelet', 'kubectl'];
const components = [
  'kube-apiserver',
  'kube-controller-manager',
  'kube-scheduler',
  'etcd',
  'kube-proxy',
  'coredns',
];

export async function stateOf(cluster: KubeadmCluster): Promise<ClusterState> {
  const [nodes, pods, namespace] = await Promise.all([
    cluster.rest.get('/api/v1/nodes'),
    cluster.rest.get('/api/v1/pods'),
    cluster.rest.find(`/api/v1/namespaces/${objectNames.namespace}`),
  ]);
  const states = await Promise.all(
    (nodes.items as NodeObject[]).map(async (object): Promise<[string, NodeState]> => {
      const { name } = object.metadata;
      return [name, await nodeState(cluster.node(name), object, pods.items)];
    }),
  );
  return {
    inFlight: namespace?.metadata.annotations?.[annotationKeys('viktorbarzin.me').inFlight],
    nodes: Object.fromEntries(states),
    unready: unready(pods.items),
  };
}

async function nodeState(
  node: Node,
  { metadata, spec, status }: NodeObject,
  pods: readonly Pod[],
): Promise<NodeState> {
  const format = '-f=$' + '{Package} $' + '{Version}\n';
  const [versions, held, running] = await Promise.all([
    node.exec('dpkg-query', '-W', format, ...packages),
    node.exec('apt-mark', 'showhold'),
    node.exec('crictl', 'ps', '--state=running', '--output=json'),
  ]);
  const { containers } = JSON.parse(running) as { containers: { id: string }[] };
  const ids = new Set(containers.map(({ id }) => `containerd://${id}`));
  const images = pods
    .filter((pod) => pod.spec?.nodeName === node.name && pod.metadata.namespace === 'kube-system')
    .flatMap((pod) => pod.status?.containerStatuses ?? [])
    .filter(({ name, containerID }) => components.includes(name) && ids.has(containerID ?? ''))
    .map(({ name, image }) => [name, image]);
  return {
    kubelet: status?.nodeInfo?.kubeletVersion.slice(1) ?? '',
    packages: Object.fromEntries(
      versions
        .trim()
        .split('\n')
        .map((line) => line.split(' ')),
    ),
    held: held.trim().split('\n').toSorted(),
    cordoned: spec?.unschedulable === true,
    annotations: Object.keys(metadata.annotations ?? {}).filter((key) => key.startsWith('viktorbarzin.me/')),
    images: Object.fromEntries(images),
  };
}

/**
 * The state that a cluster must have at a release: what that release's own kubeadm says.
 *
 * @param cordoned names of the nodes that a person has cordoned. @default none
 */
export async function expectedState(
  cluster: KubeadmCluster,
  release: string,
  cordoned: readonly string[] = [],
): Promise<ClusterState> {
  const [first] = cluster.nodes;
  const listed = await first?.exec('kubeadm', 'config', 'images', 'list', `--kubernetes-version=v${release}`);
  const images = new Map(
    listed
      ?.trim()
      .split('\n')
      .map((image) => [/([a-z-]+):[^:]*$/.exec(image)?.[1] ?? '', image]),
  );
  const pods = (await cluster.rest.get('/api/v1/namespaces/kube-system/pods')).items as Pod[];
  const dns = new Set(
    pods
      .filter(({ metadata }) => metadata.labels?.['k8s-app'] === 'kube-dns')
      .map(({ spec }) => spec?.nodeName),
  );
  const state = (node: Node): NodeState => ({
    kubelet: release,
    packages: Object.fromEntries(packages.map((name) => [name, `${release}-1.1`])),
    held: packages.toSorted(),
    cordoned: cordoned.includes(node.name),
    annotations: [],
    images: Object.fromEntries(
      components
        .filter(
          (name) => name === 'kube-proxy' || (name === 'coredns' ? dns.has(node.name) : node.isControlPlane),
        )
        .map((name) => [name, images.get(name) ?? '']),
    ),
  });
  return {
    inFlight: undefined,
    nodes: Object.fromEntries(cluster.nodes.map((node) => [node.name, state(node)])),
    unready: [],
  };
}
