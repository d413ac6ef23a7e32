import type { V1Pod } from '@kubernetes/client-node';
import { isNotFound } from './api-error.ts';
import type { KubernetesClient } from './client.ts';
import { controllingDaemonSet, isPodReady } from './pods.ts';
import type { ObjectSource } from './watch.ts';

/** The pods of one node, of every namespace. */
export const podsOn = (client: KubernetesClient, node: string): ObjectSource<V1Pod> => ({
  path: '/api/v1/pods',
  query: { fieldSelector: `spec.nodeName=${node}` },
  list: () =>
    client.call(`list the pods on ${node}`, () =>
      client.core.listPodForAllNamespaces({ fieldSelector: `spec.nodeName=${node}` }),
    ),
});

/** Whether there is such a DaemonSet. @throws ApiError when that cannot be found out. */
export async function daemonSetExists(
  client: KubernetesClient,
  namespace: string,
  name: string,
): Promise<boolean> {
  try {
    await client.call(`read DaemonSet ${namespace}/${name}`, () =>
      client.apps.readNamespacedDaemonSet({ name, namespace }),
    );
    return true;
  } catch (error) {
    if (isNotFound(error)) return false;
    throw error;
  }
}

/** What says whether a pod works; changes of anything else of it do not count. */
export const readinessOf = ({ metadata, status }: V1Pod): string =>
  JSON.stringify([
    metadata?.uid,
    status?.phase,
    status?.conditions?.map(({ type, status: value }) => [type, value]),
    status?.containerStatuses?.map(({ state }) => [state?.waiting?.reason, state?.terminated?.message]),
  ]);

/** The DaemonSets that have a Ready pod among these, `NAMESPACE/NAME`, sorted. */
export function readyDaemonSets(pods: readonly V1Pod[]): string[] {
  const found = pods.filter(isPodReady).flatMap((pod) => {
    const name = controllingDaemonSet(pod);
    return name === undefined ? [] : [`${pod.metadata?.namespace}/${name}`];
  });
  return [...new Set(found)].sort();
}
