import type { V1Pod } from '@kubernetes/client-node';
import { ownComponents, ownContainer, tagOf } from '../cluster/control-plane-pods.ts';
import type { ClusterNode } from '../cluster/nodes.ts';
import type { ClusterReader } from '../cluster/reader.ts';
import { compareReleases, type Release, releaseOf } from '../release.ts';
import { isInProgress } from './node-annotations.ts';

/**
 * What is left to do until the whole cluster is at a release. Used by gates, placement, stages, plan and run.
 */
export interface Remaining {
  /** Nodes whose kubelet is at another release. */
  readonly kubelets: readonly ClusterNode[];
  /**
   * Control-plane nodes whose API server is older. Their kubelet may be at the target already, for example
   * because somebody upgraded it manually.
   */
  readonly servers: readonly ClusterNode[];
  /** Nodes that a rollout has not finished, including nodes at the target whose script has not ended. */
  readonly inProgress: readonly ClusterNode[];
  /** All of these nodes in upgrade order: control plane, then workers; in each, those in progress first. */
  readonly nodes: readonly ClusterNode[];
}

/**
 * What is read from the cluster. Without `apiServers`, every API server counts as being at `serverRelease`.
 */
export type RemainingSource = Pick<ClusterReader, 'nodes' | 'serverRelease'> &
  Partial<Pick<ClusterReader, 'apiServers'>>;

/**
 * Finds what is left to do until every node is at `target`. Changes nothing.
 *
 * @param known the nodes of the cluster in rollout order, if they have just been read.
 */
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

/** Sort key; nodes with the same key keep the order of the rollout. */
const turnOf = (node: ClusterNode): number => (node.controlPlane ? 0 : 2) + (isInProgress(node) ? 0 : 1);

/**
 * With one control-plane node, the release of its API server is the one that the API reports. With several,
 * any of them may answer, so the image of each one's pod is read. A server whose image has no release tag is
 * assumed to run the release that the API reports.
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

/**
 * Node name → release of its API server, for each pod whose image tag is a release.
 *
 * @param pods the pods of the API servers.
 */
export function releasesOf(pods: readonly V1Pod[]): Map<string, Release> {
  const found = new Map<string, Release>();
  for (const pod of pods) {
    const release = releaseOf(tagOf(ownContainer(pod)?.image ?? '') ?? '');
    if (release !== undefined && pod.spec?.nodeName) found.set(pod.spec.nodeName, release);
  }
  return found;
}

/**
 * For dry runs: the pod as it will be after its node's upgrade. Kubernetes' own components have the new
 * image; other pods are unchanged.
 */
export function withTargetImage(pod: V1Pod, target: Release): V1Pod {
  const own = ownContainer(pod);
  const component = ownComponents.find((name) => name === own?.name);
  if (pod.spec === undefined || component === undefined) return pod;
  const containers = pod.spec.containers.map((container) =>
    container === own ? { ...container, image: `${component}:v${target}` } : container,
  );
  return { ...pod, spec: { ...pod.spec, containers } };
}
