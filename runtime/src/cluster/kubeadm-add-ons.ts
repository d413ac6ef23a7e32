import { createHash } from 'node:crypto';
import type { V1ConfigMap, V1DaemonSet, V1Deployment } from '@kubernetes/client-node';
import { parse } from 'yaml';
import { z } from 'zod';
import { UpgradeError } from '../errors.ts';
import { isNotFound } from './api-error.ts';
import type { KubernetesClient } from './client.ts';

/** What kubeadm reads before it deploys kube-proxy and CoreDNS, and what it would replace. */
export interface KubeadmAddOns {
  /** API version of the ClusterConfiguration, such as `kubeadm.k8s.io/v1beta4`. */
  readonly configurationVersion: string;
  /** `proxy.disabled` of the ClusterConfiguration. */
  readonly proxyDisabled: boolean;
  /** `dns.disabled` of the ClusterConfiguration. */
  readonly dnsDisabled: boolean;
  /** DaemonSet `kube-proxy`; undefined when there is none. */
  readonly proxy: V1DaemonSet | undefined;
  /** ConfigMap `kube-proxy`; undefined when there is none. */
  readonly proxyConfig: V1ConfigMap | undefined;
  /** Deployment `coredns`; undefined when there is none. */
  readonly dns: V1Deployment | undefined;
  /** ConfigMap `coredns`; undefined when there is none. */
  readonly dnsConfig: V1ConfigMap | undefined;
  /** Names of the Deployments with the label of the cluster's DNS; kubeadm fails when there are several. */
  readonly dnsDeployments: readonly string[];
}

const namespace = 'kube-system';
const addOn = z.object({ disabled: z.boolean().optional() }).nullish();
const configurationSchema = z.object({ apiVersion: z.string(), proxy: addOn, dns: addOn });

/**
 * Reads them.
 *
 * @throws UpgradeError (blocked) when the ConfigMap kubeadm-config is missing or unreadable; otherwise as
 *   {@link KubernetesClient.call} does.
 */
export async function readKubeadmAddOns(client: KubernetesClient): Promise<KubeadmAddOns> {
  const configMap = (name: string) =>
    ifThere(
      client.call(`read ConfigMap ${namespace}/${name}`, () =>
        client.core.readNamespacedConfigMap({ namespace, name }),
      ),
    );
  const [configuration, proxy, proxyConfig, dnsConfig, dns] = await Promise.all([
    configMap('kubeadm-config').then(configurationIn),
    ifThere(
      client.call(`read DaemonSet ${namespace}/kube-proxy`, () =>
        client.apps.readNamespacedDaemonSet({ namespace, name: 'kube-proxy' }),
      ),
    ),
    configMap('kube-proxy'),
    configMap('coredns'),
    client.call(`list Deployments in ${namespace}`, () =>
      client.apps.listNamespacedDeployment({ namespace }),
    ),
  ]);
  return {
    configurationVersion: configuration.apiVersion,
    proxyDisabled: configuration.proxy?.disabled ?? false,
    dnsDisabled: configuration.dns?.disabled ?? false,
    proxy,
    proxyConfig,
    dnsConfig,
    dns: dns.items.find(({ metadata }) => metadata?.name === 'coredns'),
    dnsDeployments: dns.items
      .filter(({ metadata }) => metadata?.labels?.['k8s-app'] === 'kube-dns')
      .map(({ metadata }) => metadata?.name ?? ''),
  };
}

/**
 * `kube-proxy=4f2a9c0d1e77 coredns=absent`: of each a digest of its pods, without what every upgrade changes
 * (images) or somebody may change at any time (the number of replicas, restarts). Pure.
 */
export function addOnsIn({ proxy, dns }: Pick<KubeadmAddOns, 'proxy' | 'dns'>): string {
  return `kube-proxy=${digestOf(proxy)} coredns=${digestOf(dns)}`;
}

function digestOf(workload: V1DaemonSet | V1Deployment | undefined): string {
  if (workload === undefined) return 'absent';
  const text = JSON.stringify(workload.spec?.template.spec ?? {}, (key, value: unknown) => {
    if (key === 'image') return undefined;
    const isMap = typeof value === 'object' && value !== null && !Array.isArray(value);
    return isMap ? Object.fromEntries(Object.entries(value).sort()) : value;
  });
  return createHash('sha256').update(text).digest('hex').slice(0, 12);
}

async function ifThere<T>(object: Promise<T>): Promise<T | undefined> {
  try {
    return await object;
  } catch (error) {
    if (isNotFound(error)) return undefined;
    throw error;
  }
}

function configurationIn(configMap: V1ConfigMap | undefined): z.output<typeof configurationSchema> {
  const text = configMap?.data?.ClusterConfiguration;
  const parsed = configurationSchema.safeParse(text === undefined ? undefined : parseOrNothing(text));
  if (parsed.success) return parsed.data;
  throw new UpgradeError(
    'blocked',
    `the ConfigMap ${namespace}/kubeadm-config has no readable ClusterConfiguration; kubeadm needs it`,
  );
}

function parseOrNothing(text: string): unknown {
  try {
    return parse(text);
  } catch {
    return undefined;
  }
}
