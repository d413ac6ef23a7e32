import { setTimeout as sleep } from 'node:timers/promises';
import type { Node as NodeObject, Pod } from '../lab/api/types.ts';
import type { KubeadmCluster } from './cluster.ts';

/** The nodes and the static pods of the control plane, as they were at one revision of the cluster's etcd. */
export interface Revision {
  readonly nodes: ReadonlyMap<string, NodeObject>;
  readonly staticPods: readonly Pod[];
}

/** A condition on the nodes. */
export type NodesAre = (nodes: Revision['nodes']) => boolean;

const staticPods = '/api/v1/namespaces/kube-system/pods?labelSelector=tier%3Dcontrol-plane';

/**
 * Waits until the nodes are in a state. Resolves with the very first revision in which they were: etcd
 * numbers the changes of all objects in one order and keeps them for minutes, so nothing that happens between
 * two requests is missed, also while the API server is away.
 *
 * @throws Error after 10 minutes.
 */
export async function firstRevision(cluster: KubeadmCluster, nodesAre: NodesAre): Promise<Revision> {
  let before: number | undefined;
  for (const deadline = Date.now() + 600_000; ; await sleep(100)) {
    const { revision: now, items } = await list<NodeObject>(cluster, '/api/v1/nodes');
    if (nodesAre(byName(items))) return search(cluster, nodesAre, before ?? now, now);
    before = now;
    if (Date.now() > deadline) throw new Error('the nodes were not in that state within 10 minutes');
  }
}

/** The first revision of a range in which the nodes are in the state; in its last one they are. */
async function search(
  cluster: KubeadmCluster,
  nodesAre: NodesAre,
  first: number,
  last: number,
): Promise<Revision> {
  for (let revision = first; revision <= last; revision += 1) {
    const nodes = byName((await list<NodeObject>(cluster, '/api/v1/nodes', revision)).items);
    if (nodesAre(nodes)) return { nodes, staticPods: (await list<Pod>(cluster, staticPods, revision)).items };
  }
  throw new Error('the nodes are in that state in no revision');
}

/** Lists objects as they are, or as they were at a revision. Tries again until the API server answers. */
async function list<T>(
  cluster: KubeadmCluster,
  path: string,
  revision?: number,
): Promise<{ readonly revision: number; readonly items: readonly T[] }> {
  const exactly = `${path.includes('?') ? '&' : '?'}resourceVersion=${revision}&resourceVersionMatch=Exact`;
  for (const deadline = Date.now() + 120_000; ; await sleep(100)) {
    try {
      const { items, metadata } = await cluster.rest.get(revision === undefined ? path : path + exactly);
      return { revision: Number(metadata.resourceVersion), items };
    } catch (error) {
      if (Date.now() > deadline) throw error;
    }
  }
}

const byName = (nodes: readonly NodeObject[]): Revision['nodes'] =>
  new Map(nodes.map((node) => [node.metadata.name, node]));
