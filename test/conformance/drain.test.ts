import { KubeConfig } from '@kubernetes/client-node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { KubernetesClient } from '../../runtime/src/cluster/client.ts';
import { clusterWriter } from '../../runtime/src/cluster/writer.ts';
import { drain } from '../../runtime/src/drain/drain.ts';
import { budget, namespace, pod } from '../lab/api/contract/objects.ts';
import { Rest } from '../lab/api/contract/rest.ts';
import { hasKubectl, kubectl } from '../lab/api/testing.ts';
import type { KubeObject, Pod } from '../lab/api/types.ts';
import { nodeObject } from '../lab/cluster.ts';
import { HollowNodes } from './hollow-nodes.ts';
import { PodSources } from './pod-sources.ts';
import { RealCluster } from './real-cluster.ts';

if (!hasKubectl) throw new Error('conformance: no kubectl on this machine (1.28 or newer)');

/** Pairs of nodes with the same pods: kubectl drains the first, this project the second. */
const pairs = { easy: ['easy-theirs', 'easy-ours'], hard: ['hard-theirs', 'hard-ours'] } as const;
const nodes = Object.values(pairs).flat();
const apps = '/api/v1/namespaces/apps/pods';
const timeoutSeconds = 20;

const worker = (name: string, i: number): KubeObject =>
  nodeObject({ name, role: 'worker', address: `127.0.1.${i + 1}` }, i, { version: '1.34.2' });

const bound = (node: string, kind: string, spec: object = {}, metadata: object = {}): KubeObject => {
  const one = pod(`${kind}-of-${node}`, 'apps', {
    nodeName: node,
    terminationGracePeriodSeconds: 1,
    ...spec,
  });
  return { ...one, metadata: { ...one.metadata, labels: { app: `${kind}-${node}` }, ...metadata } };
};

const replicaSet = (node: string, replicas: number): KubeObject => {
  const labels = { app: `web-${node}` };
  const spec = {
    nodeSelector: { 'kubernetes.io/hostname': node },
    terminationGracePeriodSeconds: 1,
    containers: [{ name: 'c', image: 'c:1' }],
  };
  const template = { metadata: { labels }, spec };
  return {
    apiVersion: 'apps/v1',
    kind: 'ReplicaSet',
    metadata: { name: `web-of-${node}`, namespace: 'apps' },
    spec: { replicas, selector: { matchLabels: labels }, template },
  };
};

const daemonSet: KubeObject = {
  apiVersion: 'apps/v1',
  kind: 'DaemonSet',
  metadata: { name: 'agent', namespace: 'apps' },
  spec: {
    selector: { matchLabels: { app: 'agent' } },
    template: {
      metadata: { labels: { app: 'agent' } },
      spec: { containers: [{ name: 'c', image: 'c:1' }], tolerations: [{ operator: 'Exists' }] },
    },
  },
};

const scratch = { volumes: [{ name: 'scratch', emptyDir: {} }] };
const mirror = {
  annotations: { 'kubernetes.io/config.mirror': 'abc', 'kubernetes.io/config.source': 'file' },
};

/** Pods that a drain removes, or leaves because they are static. */
const easy = (node: string): KubeObject[] => [
  bound(node, 'bare'),
  bound(node, 'scratch', scratch),
  bound(node, 'finished', { restartPolicy: 'Never' }),
  bound(node, 'static', {}, mirror),
  bound(node, 'allowed'),
  budget(`allowed-${node}`, 'apps', `allowed-${node}`, { minAvailable: 0 }),
  replicaSet(node, 3),
];

/** Those, and pods that a drain cannot remove. */
const hard = (node: string): KubeObject[] => [
  ...easy(node),
  bound(node, 'blocked'),
  budget(`blocked-${node}`, 'apps', `blocked-${node}`, { minAvailable: 1 }),
  bound(node, 'twice'),
  budget(`twice-a-${node}`, 'apps', `twice-${node}`, { minAvailable: 0 }),
  budget(`twice-b-${node}`, 'apps', `twice-${node}`, { minAvailable: 0 }),
  bound(node, 'held', {}, { finalizers: ['example.com/hold'] }),
];

interface Outcome {
  /** Whether the drain succeeded. */
  readonly drained: boolean;
  /** Kind of pod → the status codes of its evictions. */
  readonly evictions: Record<string, number[]>;
  /** Kinds of the pods that are still there. */
  readonly left: string[];
}

describe('a drain on a real control plane, compared with kubectl', () => {
  let cluster: RealCluster;
  let hollow: HollowNodes;
  let rest: Rest;

  beforeAll(async () => {
    cluster = await RealCluster.start();
    const { url, caPem } = cluster;
    rest = new Rest({ url, caPem, token: await cluster.token('admin') });
    hollow = new HollowNodes(rest, new PodSources(cluster, rest, {}));
    await Promise.all(nodes.map((name, i) => hollow.add(worker(name, i))));
    await rest.create([namespace('apps')]);
    await rest.eventually('/api/v1/namespaces/apps/serviceaccounts/default', (found) => found !== undefined);
    const objects = [...pairs.easy.flatMap(easy), ...pairs.hard.flatMap(hard), daemonSet];
    await rest.create(objects);
    const settled = ({ items }: { items: Pod[] }) =>
      items.length === 2 * 8 + 2 * 11 + nodes.length &&
      items.every(({ status }) => ['Running', 'Succeeded'].includes(status?.phase ?? ''));
    await rest.eventually(apps, settled, 60_000);
    await rest.eventually('/apis/policy/v1/namespaces/apps/poddisruptionbudgets', ({ items }) =>
      items.every(
        ({ metadata, status }: { metadata: { name: string }; status?: { currentHealthy?: number } }) =>
          status?.currentHealthy === 1 || metadata.name.startsWith('twice'),
      ),
    );
  });
  afterAll(async () => {
    hollow?.stop();
    await cluster?.stop();
  });

  const byKubectl = async (node: string): Promise<boolean> => {
    const flags = ['--ignore-daemonsets', '--delete-emptydir-data', '--force', '--grace-period=300'];
    const args = ['drain', node, ...flags, `--timeout=${timeoutSeconds - 4}s`];
    return (await kubectl(cluster.adminKubeconfig, ...args)).code === 0;
  };

  const byThisProject = async (node: string): Promise<boolean> => {
    const config = new KubeConfig();
    config.loadFromFile(cluster.adminKubeconfig);
    const { signal } = new AbortController();
    const client = new KubernetesClient(config, { requestTimeout: 10_000, outage: 10_000, signal });
    const writer = clusterWriter(client, 'k8s-upgrade');
    await rest.patch(`/api/v1/nodes/${node}`, { spec: { unschedulable: true } });
    const options = {
      timeout: timeoutSeconds * 1000,
      gracePeriod: 300_000,
      evictionRetry: 5000,
      blockedPods: [],
      signal,
      onNotice: () => {},
      cordon: async () => 'already' as const,
    };
    return drain(client, writer, node, options).then(
      () => true,
      () => false,
    );
  };

  const outcomeOf = async (node: string, drainNode: (node: string) => Promise<boolean>): Promise<Outcome> => {
    const kindOf = (name: string) => name.replace(new RegExp(`-of-${node}.*`), '');
    const own = (name: string) => name.includes(`-of-${node}`);
    const before: Pod[] = (await rest.get(`${apps}?fieldSelector=spec.nodeName%3D${node}`)).items;
    const drained = await drainNode(node);
    const evictions: Record<string, number[]> = {};
    for (const { objectRef, responseStatus } of await cluster.auditEvents()) {
      const { subresource, name = '' } = objectRef ?? {};
      if (subresource !== 'eviction' || !own(name)) continue;
      const codes = new Set([...(evictions[kindOf(name)] ?? []), responseStatus?.code ?? 0]);
      evictions[kindOf(name)] = [...codes].sort();
    }
    const now: Pod[] = (await rest.get(`${apps}?fieldSelector=spec.nodeName%3D${node}`)).items;
    const uids = new Set(before.map(({ metadata }) => metadata.uid));
    const left = now.filter(({ metadata }) => uids.has(metadata.uid)).map(({ metadata }) => metadata.name);
    return {
      drained,
      evictions,
      left: left.map((name) => kindOf(name).replace(/^agent-.*/, 'agent')).sort(),
    };
  };

  it.each(Object.entries(pairs))(
    'evicts and leaves the same pods as kubectl, with the same answers: %s',
    { timeout: 120_000 },
    async (kind, [first, second]) => {
      const theirs = await outcomeOf(first, byKubectl);
      const ours = await outcomeOf(second, byThisProject);
      expect(ours).toEqual(theirs);
      expect(theirs.drained).toBe(kind === 'easy');
      const stays = ['agent', 'static'];
      expect(theirs.left).toEqual(kind === 'easy' ? stays : ['agent', 'blocked', 'held', 'static', 'twice']);
      expect(Object.keys(theirs.evictions)).toEqual(
        expect.arrayContaining(['bare', 'scratch', 'finished', 'web']),
      );
      if (kind === 'hard')
        expect(theirs.evictions).toMatchObject({ blocked: [429], twice: [500], held: [201] });
    },
  );
});
