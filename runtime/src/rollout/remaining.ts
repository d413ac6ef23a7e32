import type { V1Pod } from '@kubernetes/client-node';
import type { ClusterNode } from '../cluster/nodes.ts';
import type { ClusterReader } from '../cluster/reader.ts';
import { compareReleases, type Release, releaseOf } from '../release.ts';
import { isInProgress } from './node-marks.ts';

/** What is left to do until a whole cluster is at a release. Gates, placement, stages, plan and run all ask here. */
export interface Remaining {
  /** Nodes whose kubelet is at another release. */
  readonly kubelets: readonly ClusterNode[];
  /** Control-plane nodes whose API server is older, whatever their kubelet is: somebody may have upgraded that by hand. */
  readonly servers: readonly ClusterNode[];
  /** Nodes that a rollout began to change and did not finish, also at the target: their script still has its last steps to take. */
  readonly inProgress: readonly ClusterNode[];
  /** Every node in one of these, once, in the order in which they are upgraded: the control plane, then the workers; of each what is in progress first. */
  readonly nodes: readonly ClusterNode[];
}

/** What is asked of the cluster. Without `apiServers`, the API server that answers stands for every one. */
export type RemainingSource = Pick<ClusterReader, 'nodes' | 'serverRelease'> &
  Partial<Pick<ClusterReader, 'apiServers'>>;

/** @param known the nodes of the cluster, in the order of a rollout, where they have just been read. */
export async function remaining(
  cluster: RemainingSource,
  target: Release,
  known?: readonly ClusterNode[],
): Promise<Remaining> {
  const all = known ?? (await cluster.nodes());
  const kubelets = all.filter((node) => node.release !== target);
  const servers = await serversBehind(cluster, all, target);
  const inProgress = all.filter(isInProgress);
  const left = new Set([...kubelets, ...servers, ...inProgress]);
  const nodes = all.filter((node) => left.has(node)).sort((a, b) => turnOf(a) - turnOf(b));
  return { kubelets, servers, inProgress, nodes };
}

/** Nodes of one turn keep the order of the rollout. */
const turnOf = (node: ClusterNode): number => (node.controlPlane ? 0 : 2) + (isInProgress(node) ? 0 : 1);

/**
 * Where there is one control-plane node, what answers says what its API server is; where there are several, any of them may answer, and
 * each one's image does. Where nobody may see the images, what answers stands for all of them.
 */
async function serversBehind(
  cluster: RemainingSource,
  nodes: readonly ClusterNode[],
  target: Release,
): Promise<ClusterNode[]> {
  const controlPlane = nodes.filter((node) => node.controlPlane);
  const server = await cluster.serverRelease();
  const pods = controlPlane.length > 1 ? ((await cluster.apiServers?.()) ?? []) : [];
  const servers = releasesOf(pods);
  return controlPlane.filter(({ name }) => compareReleases(servers.get(name) ?? server, target) < 0);
}

const isApiServer = ({ metadata }: V1Pod): boolean =>
  metadata?.namespace === 'kube-system' && metadata.labels?.component === 'kube-apiserver';

/** Node name → what its API server runs; without those whose image does not say it. @param pods of API servers. */
export function releasesOf(pods: readonly V1Pod[]): Map<string, Release> {
  const found = new Map<string, Release>();
  for (const { spec } of pods) {
    const tag = spec?.containers[0]?.image?.replace(/@.*$/, '').split(':').at(-1) ?? '';
    const release = releaseOf(tag);
    if (release !== undefined && spec?.nodeName) found.set(spec.nodeName, release);
  }
  return found;
}

/** The pod as it is once its node is at the target: an API server's image says so, any other pod stays. */
export function withServerImage(pod: V1Pod, target: Release): V1Pod {
  const [container] = pod.spec?.containers ?? [];
  if (container === undefined || !isApiServer(pod)) return pod;
  return {
    ...pod,
    spec: { ...pod.spec, containers: [{ ...container, image: `kube-apiserver:v${target}` }] },
  };
}
