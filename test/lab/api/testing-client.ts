import { KubeConfig } from '@kubernetes/client-node';
import type { UserRef } from './auth/tokens.ts';
import type { LabApi } from './lab-api.ts';

/**
 * A client configuration for the lab. Separate from `testing.ts` because the client takes seconds to load.
 */
export function clientConfig(api: LabApi, user: UserRef = 'admin'): KubeConfig {
  const config = new KubeConfig();
  config.loadFromString(api.kubeconfig(user));
  return config;
}
