import type { V1Pod } from '@kubernetes/client-node';
import type { Settings } from '../settings/settings.ts';
import type { ClusterReader } from './reader.ts';

/** Whether this is a pod of kubeadm's own etcd. */
export const isEtcd = ({ metadata }: V1Pod): boolean =>
  metadata?.namespace === 'kube-system' && metadata.labels?.component === 'etcd';

/** Whether the cluster runs no etcd and `gates.externalEtcdVersion` is set. */
export async function hasExternalEtcd({
  cluster,
  settings,
}: {
  readonly cluster: Pick<ClusterReader, 'pods'>;
  readonly settings: Pick<Settings, 'gates'>;
}): Promise<boolean> {
  if (settings.gates.externalEtcdVersion === undefined) return false;
  return !(await cluster.pods()).some(isEtcd);
}
