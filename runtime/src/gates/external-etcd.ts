import type { V1Pod } from '@kubernetes/client-node';
import type { GateContext } from './gate.ts';

/** Of kubeadm's own etcd. */
export const isEtcd = ({ metadata }: V1Pod): boolean =>
  metadata?.namespace === 'kube-system' && metadata.labels?.component === 'etcd';

/** The cluster runs no etcd, and the settings say that there is one elsewhere. */
export async function hasExternalEtcd({
  cluster,
  settings,
}: Pick<GateContext, 'cluster' | 'settings'>): Promise<boolean> {
  if (settings.gates.externalEtcdVersion === undefined) return false;
  return !(await cluster.pods()).some(isEtcd);
}
