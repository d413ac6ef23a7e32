import { setTimeout as sleep } from 'node:timers/promises';
import { annotationKeys, jobLabels, objectNames } from '../../runtime/src/names.ts';
import type { Node as NodeObject } from '../lab/api/types.ts';
import type { KubeadmCluster } from './cluster.ts';
import type { Node } from './node.ts';

/** A moment in a run at which its pod is killed. */
export interface KillPoint {
  /** Completes “the executor is killed …”. */
  readonly when: string;
  /** Resolves at that moment. */
  readonly moment: (cluster: KubeadmCluster) => Promise<unknown>;
}

const keys = annotationKeys('viktorbarzin.me');
const target = 'v1.34.4';
const scriptLog = '/var/log/k8s-upgrade/update_k8s.log';

/** The worst moments: a node is between two states. */
export const worstPoints: readonly KillPoint[] = [
  {
    when: 'during kubeadm upgrade apply, while the API server is away',
    moment: async (cluster) => {
      await scriptSays(cluster.node('k8s-master'), 'kubeadm upgrade apply');
      await until(async () => !(await isApiReady(cluster)));
    },
  },
  {
    when: "between a worker's packages and the restart of its kubelet",
    moment: (cluster) => scriptSays(cluster.node('k8s-node2'), 'installing kubelet'),
  },
];

/** Spread over a run, in its order. */
export const otherPoints: readonly (readonly KillPoint[])[] = [
  [
    { when: 'in preflight', moment: (cluster) => until(() => isRunning(cluster)) },
    {
      when: 'while the snapshot is taken',
      moment: (cluster) =>
        until(async () => exists(cluster.node('k8s-master'), '/var/log/k8s-upgrade/snapshot_etcd.log')),
    },
    {
      when: 'when the control plane is cordoned',
      moment: (cluster) => until(async () => (await nodesOf(cluster, true)).some(isCordoned)),
    },
  ],
  [
    {
      when: 'before kubeadm starts on a worker',
      moment: (cluster) => until(() => someWorker(cluster, (worker) => isAnnotated(worker, keys.changed))),
    },
    {
      when: "in a worker's soak",
      moment: (cluster) => until(() => someWorker(cluster, (worker) => isAnnotated(worker, keys.soaking))),
    },
    {
      when: 'when the last worker is cordoned',
      moment: (cluster) =>
        until(() => someWorker(cluster, (worker, others) => isCordoned(worker) && others.every(isAtTarget))),
    },
  ],
  [
    {
      when: 'after the API server is at the target',
      moment: async (cluster) => {
        await scriptSays(cluster.node('k8s-master'), 'kubeadm upgrade apply');
        await until(async () => (await versionOf(cluster)) === target);
      },
    },
    {
      when: 'when the kubelet of the control plane restarts',
      moment: (cluster) => scriptSays(cluster.node('k8s-master'), 'waiting for kubelet'),
    },
  ],
];

/** Kills the executor's process with SIGKILL, wherever its pod is. @throws Error when none runs */
export async function killExecutor(cluster: KubeadmCluster): Promise<void> {
  const killed = await Promise.all(
    cluster.nodes.map((node) =>
      node.ask('pkill', '--signal', 'KILL', '--echo', '--full', 'k8s-upgrade.cjs run'),
    ),
  );
  if (killed.every((output) => output === '')) throw new Error('no executor is running');
}

async function until(isTrue: () => Promise<boolean>): Promise<void> {
  for (const deadline = Date.now() + 600_000; !(await isTrue()); await sleep(50))
    if (Date.now() > deadline) throw new Error('the moment did not come within 10 minutes');
}

/** Resolves when the node's script has printed a line with this text since it was called. */
async function scriptSays(node: Node, text: string): Promise<void> {
  const before = logOf(node);
  await until(async () => logOf(node) !== before && logOf(node).includes(text));
}

const exists = (node: Node, path: string): boolean => {
  try {
    node.read(path);
    return true;
  } catch {
    return false;
  }
};

const logOf = (node: Node): string => (exists(node, scriptLog) ? node.read(scriptLog) : '');

const isApiReady = async (cluster: KubeadmCluster): Promise<boolean> =>
  (await cluster.rest.send('GET', '/readyz').catch(() => undefined))?.code === 200;

const versionOf = async (cluster: KubeadmCluster): Promise<string> =>
  (await cluster.rest.get('/version').catch(() => ({}))).gitVersion;

async function nodesOf(cluster: KubeadmCluster, isControlPlane: boolean): Promise<readonly NodeObject[]> {
  const { items } = await cluster.rest.get('/api/v1/nodes').catch(() => ({ items: [] }));
  return (items as NodeObject[]).filter(
    (one) => cluster.node(one.metadata.name).isControlPlane === isControlPlane,
  );
}

/** Which worker comes first depends on where the executor runs: that one is upgraded last. */
async function someWorker(
  cluster: KubeadmCluster,
  isIt: (worker: NodeObject, others: readonly NodeObject[]) => boolean,
): Promise<boolean> {
  const workers = await nodesOf(cluster, false);
  return workers.some((worker) =>
    isIt(
      worker,
      workers.filter((one) => one !== worker),
    ),
  );
}

const isCordoned = ({ spec }: NodeObject): boolean => spec?.unschedulable === true;
const isAtTarget = ({ status }: NodeObject): boolean => status?.nodeInfo?.kubeletVersion === target;
const isAnnotated = ({ metadata }: NodeObject, key: string): boolean =>
  metadata.annotations?.[key] !== undefined;

async function isRunning(cluster: KubeadmCluster): Promise<boolean> {
  const pods = await cluster.rest
    .get(
      `/api/v1/namespaces/${objectNames.namespace}/pods?labelSelector=${encodeURIComponent(jobLabels.run)}`,
    )
    .catch(() => ({ items: [] }));
  return pods.items.some(({ status }: { status?: { phase?: string } }) => status?.phase === 'Running');
}
