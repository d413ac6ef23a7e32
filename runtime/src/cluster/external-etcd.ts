import type { V1Pod } from '@kubernetes/client-node';
import type { Settings } from '../settings/settings.ts';
import type { ClusterReader } from './reader.ts';

/** Of kubeadm's own etcd. */
export const isEtcd = ({ metadata }: V1Pod): boolean =>
  metadata?.namespace === 'kube-system' && metadata.labels?.component === 'etcd';

/** The cluster runs no etcd, and the settings say that there is one elsewhere. */
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
