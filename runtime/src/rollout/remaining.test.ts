import type { V1Pod } from '@kubernetes/client-node';
import { expect, it, test } from 'vitest';
import type { ClusterNode } from '../cluster/nodes.ts';
import { parseRelease } from '../release.ts';
import { clusterNode, componentPod } from '../testing/cluster.ts';
import { type RemainingSource, remaining, withTargetImage } from './remaining.ts';

const target = parseRelease('test', '1.34.5');
const old = parseRelease('test', '1.34.2');
const master = (n: number, change: Partial<ClusterNode> = {}) =>
  clusterNode(`master${n}`, { controlPlane: true, release: target, ...change });
const worker = (n: number, change: Partial<ClusterNode> = {}) =>
  clusterNode(`node${n}`, { release: target, ...change });

const apiServer = (node: string, image: string): V1Pod => componentPod('kube-apiserver', node, image);

interface Case {
  readonly nodes: readonly ClusterNode[];
  readonly server?: typeof target;
  /** Node → image of its API server. */
  readonly images?: Readonly<Record<string, string>>;
}

const source = ({ nodes, server = target, images = {} }: Case): RemainingSource => ({
  nodes: async () => [...nodes],
  serverRelease: async () => server,
  apiServers: async () => Object.entries(images).map(([node, image]) => apiServer(node, image)),
});

async function namesOf(given: Case) {
  const { kubelets, servers, inProgress, nodes } = await remaining(source(given), target);
  const names = (group: readonly ClusterNode[]) => group.map(({ name }) => name);
  return [names(kubelets), names(servers), names(inProgress), names(nodes)];
}

const image = (version: string) => `registry.k8s.io/kube-apiserver:v${version}`;
const cases: [what: string, given: Case, kubelets: string[], servers: string[], inProgress: string[]][] = [
  ['nothing when every node is at the target', { nodes: [master(1), worker(1)] }, [], [], []],
  ['a worker', { nodes: [master(1), worker(1, { release: old })] }, ['node1'], [], []],
  [
    'the only API server, by the release that it reports, whatever its image',
    { nodes: [master(1), worker(1)], server: old, images: { master1: image('1.34.5') } },
    [],
    ['master1'],
    [],
  ],
  [
    'the older of several API servers, whichever answers',
    { nodes: [master(1), master(2)], images: { master1: image('1.34.5'), master2: image('1.34.2') } },
    [],
    ['master2'],
    [],
  ],
  [
    'of several API servers one whose image has no tag, by the release that was reported',
    {
      nodes: [master(1), master(2)],
      server: old,
      images: { master1: image('1.34.5'), master2: 'mirror/kube-apiserver@sha256:ab' },
    },
    [],
    ['master2'],
    [],
  ],
  [
    'a node at the target that a rollout has cordoned or annotated as unfinished',
    { nodes: [master(1, { unfinished: true }), worker(1, { cordonedByUs: true }), worker(2)] },
    [],
    [],
    ['master1', 'node1'],
  ],
];

test.each(cases)('%s', async (_what, given, kubelets, servers, inProgress) => {
  const [found, behind, unfinished, all] = await namesOf(given);
  expect([found, behind, unfinished]).toEqual([kubelets, servers, inProgress]);
  expect(all?.toSorted()).toEqual([...new Set([...kubelets, ...servers, ...inProgress])].sort());
});

it('lists each node once, the control plane first, then the workers in progress, then the others', async () => {
  const unfinished = worker(2, { release: old, cordonedByUs: true });
  const nodes = [master(1, { release: old }), worker(1, { release: old }), unfinished];
  const [, , , all] = await namesOf({ nodes, server: old });
  expect(all).toEqual(['master1', 'node2', 'node1']);
});

it('keeps the order of the rollout, whether a kubelet, an API server or both are behind', async () => {
  const nodes = [master(1), master(2, { release: old }), master(3), worker(1, { release: old })];
  const images = { master1: image('1.34.2'), master2: image('1.34.2'), master3: image('1.34.2') };
  const [, , , all] = await namesOf({ nodes, images });
  expect(all).toEqual(['master1', 'master2', 'master3', 'node1']);
});

it('counts every API server as being at the reported release when their pods cannot be read', async () => {
  const nodes = [master(1), master(2)];
  const { nodes: read, serverRelease } = source({ nodes, images: { master2: image('1.34.2') } });
  expect((await remaining({ nodes: read, serverRelease }, target)).servers).toEqual([]);
  const answers = { nodes: read, serverRelease: async () => old };
  expect((await remaining(answers, target)).servers).toEqual(nodes);
});

it('does not read the nodes again when they are given', async () => {
  const failOnRead = () => Promise.reject(new Error('read'));
  const nodes = [master(1), worker(1, { release: old })];
  const found = await remaining({ ...source({ nodes }), nodes: failOnRead }, target, nodes);
  expect(found.nodes.map(({ name }) => name)).toEqual(['node1']);
});

it('replaces the image of an API server and of no other pod', () => {
  const other: V1Pod = { metadata: { namespace: 'apps' }, spec: { containers: [{ name: 'web' }] } };
  expect(withTargetImage(other, target)).toBe(other);
  const shown = withTargetImage(apiServer('master1', image('1.34.2')), target);
  expect(shown.spec?.containers[0]?.image).toBe('kube-apiserver:v1.34.5');
});

it('tells the container of the API server from a sidecar before it', async () => {
  const withSidecar = (node: string, version: string) => {
    const pod = apiServer(node, image(version));
    pod.spec?.containers.unshift({ name: 'kms-plugin', image: 'registry.example/kms:v0.3.0' });
    return pod;
  };
  const nodes = [master(1), master(2)];
  const pods = [withSidecar('master1', '1.34.5'), withSidecar('master2', '1.34.2')];
  const found = { ...source({ nodes }), apiServers: async () => pods };
  expect((await remaining(found, target)).servers.map(({ name }) => name)).toEqual(['master2']);
  const shown = withTargetImage(withSidecar('master2', '1.34.2'), target);
  expect(shown.spec?.containers.map((one) => one.image)).toEqual([
    'registry.example/kms:v0.3.0',
    'kube-apiserver:v1.34.5',
  ]);
});
