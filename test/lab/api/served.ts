import type { KubernetesObject } from '@kubernetes/client-node';

/** Custom resources, whose operators the lab has not, and admission policies, whose expressions it does not evaluate. */
const notServed = ['external-secrets.io/', 'monitoring.coreos.com/', 'admissionregistration.k8s.io/'];

/** Whether a deployment's object is of use to the embedded API server. */
export const isServed = ({ apiVersion }: KubernetesObject): boolean =>
  !notServed.some((group) => apiVersion?.startsWith(group));
