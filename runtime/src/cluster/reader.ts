import type { V1Node, V1Pod, V1PodDisruptionBudget } from '@kubernetes/client-node';
import { InputError } from '../errors.ts';
import { objectNames } from '../names.ts';
import { type Release, releaseOf } from '../release.ts';
import type { Settings } from '../settings/settings.ts';
import type { Wait } from '../wait.ts';
import { isNotFound } from './api-error.ts';
import type { KubernetesClient } from './client.ts';
import { listBudgets } from './disruption-budgets.ts';
import { type ClusterNode, inOrder, readNodes } from './nodes.ts';
import { waitForObjects } from './watch.ts';

/** What the upgrade asks the cluster. A dry-run answers as if its own steps had been taken. */
export interface ClusterReader {
  serverRelease(): Promise<Release>;
  /** In the order of a rollout; without those that cannot be read. */
  nodes(): Promise<ClusterNode[]>;
  /** One for each node that cannot be read. Before a rollout that is bad input, in the middle of one it closes a gate. */
  unreadableNodes(): Promise<InputError[]>;
  /** Every pod of the cluster. */
  pods(): Promise<V1Pod[]>;
  budgets(): Promise<V1PodDisruptionBudget[]>;
  /** Waits until `done` accepts the node. @throws TimeoutError */
  waitForNode(name: string, what: string, done: (node: ClusterNode) => boolean, wait: Wait): Promise<void>;
  /** The reason in the kill switch; undefined when it is not set. */
  killSwitch(): Promise<string | undefined>;
}

export function clusterReader(client: KubernetesClient, settings: Settings): ClusterReader {
  const read = async () => {
    const { items } = await client.call('list nodes', () => client.core.listNode());
    if (items.length === 0) throw new InputError('nodes', 'none', 'a cluster with nodes');
    return readNodes(items, settings.annotationPrefix);
  };
  return {
    async serverRelease() {
      const version = await client.serverVersion();
      const release = releaseOf(version);
      if (release === undefined)
        throw new InputError('API server version', version, 'a release such as v1.34.2');
      return release;
    },
    nodes: async () => inOrder((await read()).nodes, settings.nodes),
    unreadableNodes: async () => (await read()).odd,
    async pods() {
      const { items } = await client.call('list pods', () => client.core.listPodForAllNamespaces());
      return items;
    },
    async waitForNode(name, what, done, wait) {
      const fieldSelector = `metadata.name=${name}`;
      const source = {
        path: '/api/v1/nodes',
        query: { fieldSelector },
        list: () => client.call(`read node ${name}`, () => client.core.listNode({ fieldSelector })),
      };
      const accepts = (items: readonly V1Node[]) =>
        readNodes(items, settings.annotationPrefix).nodes.some(done) ? true : undefined;
      await waitForObjects(client, source, what, accepts, wait);
    },
    budgets: () => listBudgets(client),
    killSwitch: () => readKillSwitch(client, settings.namespace),
  };
}

async function readKillSwitch(client: KubernetesClient, namespace: string): Promise<string | undefined> {
  try {
    const request = { name: objectNames.killSwitch, namespace };
    const map = await client.call('read the kill switch', () => client.core.readNamespacedConfigMap(request));
    return map.data?.reason ?? 'no reason given';
  } catch (error) {
    if (isNotFound(error)) return undefined;
    throw error;
  }
}
