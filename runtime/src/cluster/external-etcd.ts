import type { Settings } from '../settings/settings.ts';
import { controlPlanePods } from './control-plane-pods.ts';
import type { ClusterNode } from './nodes.ts';
import type { ClusterReader } from './reader.ts';

/** Whether the cluster runs no etcd and `gates.externalEtcdVersion` is set. */
export async function hasExternalEtcd(
  {
    cluster,
    settings,
  }: { readonly cluster: Pick<ClusterReader, 'pods'>; readonly settings: Pick<Settings, 'gates'> },
  nodes: readonly ClusterNode[],
): Promise<boolean> {
  if (settings.gates.externalEtcdVersion === undefined) return false;
  return controlPlanePods(await cluster.pods(), nodes, ['etcd']).length === 0;
}
