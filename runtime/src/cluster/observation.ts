import type { V1Node, V1Pod } from '@kubernetes/client-node';
import { pause, TimeoutError, type Wait } from '../wait.ts';
import type { KubernetesClient } from './client.ts';
import { componentOf, controlPlaneSelector } from './control-plane-pods.ts';
import { type ObjectSource, waitForObjects } from './watch.ts';

/** What can be observed: the nodes, or the pods of kubeadm's control plane. */
export type Observable = 'nodes' | 'control-plane pods';

/** Notices changes of what gates judge, so that nobody has to ask again and again. */
export interface Observation {
  /**
   * Resolves at the first change since the observation started or since the change that was reported last; at
   * the end of the wait without one.
   *
   * @throws the signal's reason when aborted; otherwise as {@link KubernetesClient.call} does.
   */
  next(wait: Wait): Promise<void>;
}

/**
 * Starts an observation: reads the present state, from which changes count. What kubelets report all the time
 * is no change, so that the number of requests does not depend on the size of the cluster.
 */
export async function observe(client: KubernetesClient, what: readonly Observable[]): Promise<Observation> {
  const seen = new Map<Observable, string>();
  const each = what.map((name) => ({ name, source: sources[name](client) }));
  for (const { name, source } of each) seen.set(name, stateOf(source, (await source.list()).items));

  const changeOf = ({ name, source }: (typeof each)[number], wait: Wait) => {
    const changed = (items: readonly Watched[]) => {
      const state = stateOf(source, items);
      return state === seen.get(name) ? undefined : state;
    };
    return waitForObjects(client, source, `a change of ${name}`, changed, wait).then((state) => {
      seen.set(name, state);
    });
  };
  return {
    async next(wait) {
      if (each.length === 0) return pause(Number.POSITIVE_INFINITY, wait);
      const first = new AbortController();
      const signal = AbortSignal.any([wait.signal, first.signal]);
      try {
        await Promise.race(each.map((one) => changeOf(one, { ...wait, signal })));
      } catch (error) {
        if (!(error instanceof TimeoutError)) throw error;
      } finally {
        first.abort();
      }
    },
  };
}

type Watched = V1Node | V1Pod;
type Source = ObjectSource<Watched> & { readonly digest: (object: Watched) => string };

const sources: Readonly<Record<Observable, (client: KubernetesClient) => Source>> = {
  nodes: (client) => ({
    path: '/api/v1/nodes',
    list: () => client.call('list nodes', () => client.core.listNode()),
    digest: digestOf,
  }),
  'control-plane pods': (client) => ({
    path: '/api/v1/namespaces/kube-system/pods',
    query: { labelSelector: controlPlaneSelector },
    async list() {
      const request = { namespace: 'kube-system', labelSelector: controlPlaneSelector };
      const { items, ...answer } = await client.call('list the control-plane pods', () =>
        client.core.listNamespacedPod(request),
      );
      return { ...answer, items: items.filter((pod) => componentOf(pod) !== undefined) };
    },
    digest: digestOf,
  }),
};

const stateOf = ({ digest }: Source, objects: readonly Watched[]): string =>
  objects.map(digest).sort().join('\n');

/**
 * What gates judge of a node or a pod, without times. Arrays, as a list and a watch return the keys of an
 * object in different orders.
 */
function digestOf({ metadata, spec, status }: Watched): string {
  const { nodeInfo, addresses } = (status ?? {}) as NonNullable<V1Node['status']>;
  return JSON.stringify([
    metadata?.name,
    metadata?.uid,
    (spec as V1Node['spec'])?.unschedulable ?? false,
    status?.conditions?.map(({ type, status: value }) => [type, value]),
    nodeInfo?.kubeletVersion,
    addresses?.map(({ type, address }) => [type, address]),
  ]);
}
