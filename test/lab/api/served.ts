import type { KubernetesObject } from '@kubernetes/client-node';

/** Custom resources, whose operators the lab has not. */
const notServed = ['external-secrets.io/', 'monitoring.coreos.com/'];

/** Whether a deployment's object is of use to the embedded API server. */
export const isServed = ({ apiVersion }: KubernetesObject): boolean =>
  !notServed.some((group) => apiVersion?.startsWith(group));
