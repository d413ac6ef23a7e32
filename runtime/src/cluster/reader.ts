import type { V1Node, V1Pod, V1PodDisruptionBudget } from '@kubernetes/client-node';
import { InputError } from '../errors.ts';
import { type Release, releaseOf } from '../release.ts';
import type { Settings } from '../settings/settings.ts';
import type { Wait } from '../wait.ts';
import type { KubernetesClient } from './client.ts';
import { componentOf } from './control-plane-pods.ts';
import { listBudgets } from './disruption-budgets.ts';
import {
  type ClusterNode,
  inOrder,
  type NodeFacts,
  type ReadAnnotations,
  readFacts,
  readNode,
  readNodes,
} from './nodes.ts';
import { type Observable, type Observation, observe } from './observation.ts';
import { daemonSetExists, podsOn, readinessOf } from './pods-on-node.ts';
import { type StaticPodsWait, waitForStaticPods } from './static-pods.ts';
import { waitForObjects } from './watch.ts';

/**
 * Reads from the cluster. In a dry-run the answers assume that the steps so far were executed. Every method
 * throws as {@link KubernetesClient.call} does.
 */
export interface ClusterReader {
  /** Release of the API server. @throws InputError when it reports a pre-release. */
  serverRelease(): Promise<Release>;
  /**
   * Readable nodes in the order of a rollout.
   *
   * @param readAnnotations for the rollout in flight, if that has just been read. @default reads it
   * @throws InputError when the cluster has no nodes.
   */
  nodes(readAnnotations?: ReadAnnotations): Promise<ClusterNode[]>;
  /**
   * One error for each node that cannot be read. Before a rollout such a node is bad input, during one it
   * closes a gate.
   */
  unreadableNodes(): Promise<InputError[]>;
  /** The pods of kubeadm's API servers, one on each control-plane node. */
  apiServers(): Promise<V1Pod[]>;
  /** Every pod of the cluster. */
  pods(): Promise<V1Pod[]>;
  /** The pods of one node. */
  podsOn(node: string): Promise<V1Pod[]>;
  /**
   * Lists the pods of a node, and again after every change, until `done` resolves with true.
   *
   * @param what names the wait in the error.
   * @param pending what is missing, for the error.
   * @throws TimeoutError at the deadline.
   */
  waitForPodsOn(
    node: string,
    what: string,
    done: (pods: readonly V1Pod[]) => Promise<boolean>,
    wait: Wait,
    pending: () => string[],
  ): Promise<void>;
  /** Whether there is such a DaemonSet. */
  daemonSetExists(namespace: string, name: string): Promise<boolean>;
  /** Every PodDisruptionBudget of the cluster. */
  budgets(): Promise<V1PodDisruptionBudget[]>;
  /**
   * Waits until `done` returns true for the node.
   *
   * @param what names the wait in the error.
   * @throws TimeoutError at the deadline.
   */
  waitForNode(name: string, what: string, done: (node: NodeFacts) => boolean, wait: Wait): Promise<void>;
  /** Starts to observe, from the present state on. */
  observe(what: readonly Observable[]): Promise<Observation>;
  /**
   * Waits until a node's static pods are Ready and have survived the restart of its kubelet.
   *
   * @throws TimeoutError at the deadline.
   */
  waitForStaticPods(of: StaticPodsWait, wait: Wait): Promise<void>;
}

/** A reader of the real cluster. @param forRollout reads which rollout is in flight. */
export function clusterReader(
  client: KubernetesClient,
  settings: Settings,
  forRollout: () => Promise<ReadAnnotations>,
): ClusterReader {
  const list = async () => {
    const { items } = await client.call('list nodes', () => client.core.listNode());
    if (items.length === 0) throw new InputError('nodes', 'none', 'a cluster with nodes');
    return items;
  };
  return {
    async serverRelease() {
      const version = await client.serverVersion();
      const release = releaseOf(version);
      if (release === undefined)
        throw new InputError('API server version', version, 'a release such as v1.34.2');
      return release;
    },
    async nodes(given) {
      const readAnnotations = given ?? (await forRollout());
      const { nodes } = readNodes(await list(), (item) => readNode(item, readAnnotations));
      return inOrder(nodes, settings.nodes);
    },
    unreadableNodes: async () => readNodes(await list(), readFacts).unreadable,
    async apiServers() {
      const request = { namespace: 'kube-system', labelSelector: 'component=kube-apiserver' };
      const { items } = await client.call('list the API servers', () =>
        client.core.listNamespacedPod(request),
      );
      return items.filter((pod) => componentOf(pod) === 'kube-apiserver');
    },
    async pods() {
      const { items } = await client.call('list pods', () => client.core.listPodForAllNamespaces());
      return items;
    },
    podsOn: async (node) => (await podsOn(client, node).list()).items,
    async waitForPodsOn(node, what, done, wait, pending) {
      const accepts = async (pods: readonly V1Pod[]) => ((await done(pods)) ? true : undefined);
      const source = { ...podsOn(client, node), digest: readinessOf };
      await waitForObjects(client, source, what, accepts, wait, pending);
    },
    daemonSetExists: (namespace, name) => daemonSetExists(client, namespace, name),
    async waitForNode(name, what, done, wait) {
      const fieldSelector = `metadata.name=${name}`;
      const source = {
        path: '/api/v1/nodes',
        query: { fieldSelector },
        list: () => client.call(`read node ${name}`, () => client.core.listNode({ fieldSelector })),
      };
      const accepts = (items: readonly V1Node[]) =>
        readNodes(items, readFacts).nodes.some(done) ? true : undefined;
      await waitForObjects(client, source, what, accepts, wait);
    },
    observe: (what) => observe(client, what),
    waitForStaticPods: (of, wait) => waitForStaticPods(client, of, wait),
    budgets: () => listBudgets(client),
  };
}
