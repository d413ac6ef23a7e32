import { Health, KubeConfig } from '@kubernetes/client-node';

/**
 * Whether the API server says that it is ready. False also where nobody may ask, as on one that has not read the roles.
 *
 * @param anonymously a server that does not know who asks would answer 401 to this question as well. kubeadm's API server lets
 *   everybody ask: so does the kubelet.
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
