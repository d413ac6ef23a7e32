import { Health, KubeConfig } from '@kubernetes/client-node';

/**
 * Whether the API server's `/readyz` reports ready. False also when it refuses the request, as a server does
 * that has not loaded the RBAC roles yet.
 *
 * @param anonymously sends no credentials, for a server that answers them with 401. kubeadm's API server
 *   serves `/readyz` without any.
 */
export function isReady(config: KubeConfig, anonymously: boolean, signal: AbortSignal): Promise<boolean> {
  const health = new Health(anonymously ? withoutUser(config) : config);
  return health.readyz({ signal }).catch(() => false);
}

function withoutUser(config: KubeConfig): KubeConfig {
  const anonymous = new KubeConfig();
  const cluster = config.getCurrentCluster();
  if (cluster) anonymous.loadFromClusterAndUser(cluster, { name: 'anonymous' });
  return anonymous;
}
