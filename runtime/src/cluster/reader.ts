import type { V1Node, V1Pod, V1PodDisruptionBudget } from '@kubernetes/client-node';
import { InputError } from '../errors.ts';
import { type Release, releaseOf } from '../release.ts';
import type { Settings } from '../settings/settings.ts';
import type { Wait } from '../wait.ts';
import type { KubernetesClient } from './client.ts';
import { listBudgets } from './disruption-budgets.ts';
import { type ClusterNode, inOrder, type ReadMarks, readNodes } from './nodes.ts';
import { waitForObjects } from './watch.ts';

/** What the upgrade asks the cluster. A dry-run answers as if its own steps had been taken. */
export interface ClusterReader {
  serverRelease(): Promise<Release>;
  /** In the order of a rollout; without those that cannot be read. */
  nodes(): Promise<ClusterNode[]>;
  /** One for each node that cannot be read. Before a rollout that is bad input, in the middle of one it closes a gate. */
  unreadableNodes(): Promise<InputError[]>;
  /** The pods of kubeadm's API servers, one on each control-plane node. */
  apiServers(): Promise<V1Pod[]>;
  /** Every pod of the cluster. */
  pods(): Promise<V1Pod[]>;
  budgets(): Promise<V1PodDisruptionBudget[]>;
  /** Waits until `done` accepts the node. @throws TimeoutError */
  waitForNode(name: string, what: string, done: (node: ClusterNode) => boolean, wait: Wait): Promise<void>;
}

export function clusterReader(
  client: KubernetesClient,
  settings: Settings,
  readMarks: ReadMarks,
): ClusterReader {
  const read = async () => {
    const { items } = await client.call('list nodes', () => client.core.listNode());
    if (items.length === 0) throw new InputError('nodes', 'none', 'a cluster with nodes');
    return readNodes(items, readMarks);
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
    unreadableNodes: async () => (await read()).unreadable,
    async apiServers() {
      const request = { namespace: 'kube-system', labelSelector: 'component=kube-apiserver' };
      const { items } = await client.call('list the API servers', () =>
        client.core.listNamespacedPod(request),
      );
      return items;
    },
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
        readNodes(items, readMarks).nodes.some(done) ? true : undefined;
      await waitForObjects(client, source, what, accepts, wait);
    },
    budgets: () => listBudgets(client),
  };
}
