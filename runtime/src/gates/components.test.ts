import type { V1Pod } from '@kubernetes/client-node';
import { describe, expect, it, test } from 'vitest';
import { ApiError } from '../cluster/api-error.ts';
import { ownComponents } from '../cluster/control-plane-pods.ts';
import { parseRelease } from '../release.ts';
import { clusterNode, componentPod, ownedBy, testSettings } from '../testing/cluster.ts';
import { componentsGate } from './components.ts';
import type { Findings, GateContext } from './gate.ts';

const nodes = [
  clusterNode('m1', { controlPlane: true, ready: false }),
  clusterNode('m2', { controlPlane: true }),
  clusterNode('k8s-node1'),
];
const listed = [
  ...[...ownComponents, 'kube-proxy'].map((name) => `mirror:5000/k8s/${name}:v1.34.5`),
  ...['mirror:5000/k8s/coredns:v1.12.1', 'mirror:5000/k8s/pause:3.10.1', 'mirror:5000/k8s/etcd:3.6.5-0'],
];
const without = (name: string) => listed.filter((image) => !image.includes(`/${name}:`));
const listing = (images: readonly string[]) => ({
  code: 0,
  output: `==> waiting\nresult: {"images":${JSON.stringify(images)}}`,
});

/** What differs from a cluster at 1.34.5 whose images come from other registries. */
interface Case {
  /** By component of m2 and by add-on; null where it does not exist. */
  readonly images?: Readonly<Record<string, string | null>>;
  readonly pods?: readonly V1Pod[];
  readonly answer?: { readonly code: number; readonly output: string };
  readonly skipPhases?: string[];
  readonly dryRun?: boolean;
}

function controlPlane(images: NonNullable<Case['images']>): V1Pod[] {
  const tags = { etcd: '3.6.5-0' } as Readonly<Record<string, string>>;
  return ['m1', 'm2'].flatMap((node) =>
    (['etcd', ...ownComponents] as const).flatMap((name) => {
      const image =
        (node === 'm2' ? images[name] : undefined) ?? `own.example/${name}:${tags[name] ?? 'v1.34.5'}`;
      const pod = componentPod(name, node, image);
      pod.spec?.containers.unshift({ name: 'kms', image: 'kms.example/kms:v0.3.0' });
      return images[name] === null ? [] : [pod];
    }),
  );
}

/** @returns the findings, and the node that was asked. */
async function check(given: Case): Promise<Findings & { asked: string[] }> {
  const { images = {}, answer = listing(listed), skipPhases = [], dryRun = false } = given;
  const asked: string[] = [];
  const workload = (name: string, tag: string) => async () => {
    const image = images[name] ?? `own.example/${name}:${tag}`;
    if (images[name] === null) throw new ApiError('read', { code: 404, body: '{}', headers: {} } as never);
    return {
      spec: {
        template: {
          spec: {
            containers: [
              { name: 'sidecar', image: 'x:1' },
              { name, image },
            ],
          },
        },
      },
    };
  };
  const ctx = {
    nodes,
    dryRun,
    target: parseRelease('test', '1.34.5'),
    settings: testSettings({ kubeadm: { skipPhases } }),
    cluster: { pods: async () => [...controlPlane(images), ...(given.pods ?? [])] },
    client: {
      call: (_what: string, request: () => Promise<unknown>) => request(),
      apps: {
        readNamespacedDeployment: workload('coredns', 'v1.12.1'),
        readNamespacedDaemonSet: workload('kube-proxy', 'v1.34.5'),
      },
    },
    shell: {
      async read({ name }: { name: string }, words: readonly string[], input: string) {
        asked.push(name);
        expect(words).toEqual(['bash', '-s', '--', '--release', '1.34.5']);
        expect(input).toContain('kubeadm config images list');
        return answer;
      },
    },
  } as unknown as GateContext;
  return { ...(await componentsGate.check(ctx)), asked };
}

it('is open when everything runs what kubeadm lists, from whichever registry; a Ready node is asked', async () => {
  expect(await check({})).toEqual({ reasons: [], notes: [], asked: ['m2'] });
});

describe('is closed by', () => {
  const closed: [what: string, given: Case, reason: string][] = [
    ...ownComponents.map((name): [string, Case, string] => [
      name,
      { images: { [name]: `own.example/${name}:v1.34.4` } },
      `${name} of m2 runs v1.34.4, and kubeadm of the target brings v1.34.5; repeat kubeadm upgrade`,
    ]),
    [
      'a newer scheduler, which is not the target’s either',
      { images: { 'kube-scheduler': 'a:v1.35.0' } },
      'kube-scheduler of m2 runs v1.35.0, and kubeadm of the target brings v1.34.5; repeat kubeadm upgrade',
    ],
    [
      'an older etcd',
      { images: { etcd: 'a/etcd:3.5.26-0' } },
      'etcd of m2 runs 3.5.26-0, and kubeadm of the target brings 3.6.5-0; repeat kubeadm upgrade',
    ],
    [
      'an older CoreDNS',
      { images: { coredns: 'a/coredns:v1.11.3' } },
      'Deployment kube-system/coredns runs v1.11.3, and kubeadm of the target brings v1.12.1; repeat kubeadm upgrade',
    ],
    [
      'a kube-proxy of another release',
      { images: { 'kube-proxy': 'a/kube-proxy:v1.34.4' } },
      'DaemonSet kube-system/kube-proxy runs v1.34.4, and kubeadm of the target brings v1.34.5; repeat kubeadm upgrade',
    ],
    [
      'a tag that is no version',
      { images: { etcd: 'a/etcd:latest' } },
      'etcd of m2 runs latest, and kubeadm of the target brings 3.6.5-0; repeat kubeadm upgrade',
    ],
  ];
  test.each(closed)('%s', async (_what, given, reason) => {
    expect(await check(given)).toMatchObject({ reasons: [reason], notes: [] });
  });

  test('a component without its pod, on each node', async () => {
    expect((await check({ images: { 'kube-scheduler': null } })).reasons).toEqual([
      'm1 has no pod kube-system/kube-scheduler-m1',
      'm2 has no pod kube-system/kube-scheduler-m2',
    ]);
  });

  const proxy = (name: string, node: string, change: Partial<V1Pod> = {}): V1Pod => ({
    spec: { nodeName: node, containers: [{ name: 'kube-proxy', image: 'own.example/kube-proxy:v1.34.4' }] },
    status: { phase: 'Running' },
    ...change,
    metadata: {
      name,
      namespace: 'kube-system',
      ownerReferences: [ownedBy('DaemonSet', 'kube-proxy')],
      ...change.metadata,
    },
  });
  test('an add-on whose pods on Ready nodes are old', async () => {
    const pods = [
      proxy('old', 'k8s-node1'),
      proxy('away', 'm1'),
      proxy('leaving', 'k8s-node1', { metadata: { deletionTimestamp: new Date() } }),
      proxy('ended', 'k8s-node1', { status: { phase: 'Failed' } }),
      proxy('foreign', 'k8s-node1', { metadata: { ownerReferences: [ownedBy('DaemonSet', 'other')] } }),
      proxy('elsewhere', 'k8s-node1', { metadata: { namespace: 'apps' } }),
    ];
    expect((await check({ pods })).reasons).toEqual([
      'DaemonSet kube-system/kube-proxy runs own.example/kube-proxy:v1.34.5, but 1 of its pods do not yet: on k8s-node1',
    ]);
    expect((await check({ pods: pods.slice(1) })).reasons).toEqual([]);
  });
});

describe('is open for', () => {
  const opened: [what: string, given: Case][] = [
    ['a newer etcd', { images: { etcd: 'a/etcd:3.6.10-0' } }],
    ['a newer build of etcd', { images: { etcd: 'a/etcd:3.6.5-1' } }],
    ['a newer CoreDNS, which kubeadm keeps', { images: { coredns: 'a/coredns:1.14.0' } }],
    ['a tag with a digest', { images: { coredns: 'a/coredns:v1.12.1@sha256:ab' } }],
  ];
  test.each(opened)('%s', async (_what, given) => {
    expect(await check(given)).toMatchObject({ reasons: [], notes: [] });
  });

  test('a custom tag that kubeadm-config names, on every node', async () => {
    const answer = listing([...without('coredns'), 'x/coredns/coredns:own-2']);
    expect((await check({ images: { coredns: 'a/coredns:own-2' }, answer })).reasons).toEqual([]);
    expect((await check({ answer })).reasons).toEqual([
      'Deployment kube-system/coredns runs v1.12.1, and kubeadm of the target brings own-2; repeat kubeadm upgrade',
    ]);
  });

  const notes: [what: string, given: Case, note: string][] = [
    [
      'a digest alone',
      { images: { etcd: 'a/etcd@sha256:ab' } },
      'etcd of m2 was not checked: a/etcd@sha256:ab has no tag',
    ],
    [
      'an external etcd',
      { images: { etcd: null }, answer: listing(without('etcd')) },
      'etcd was not checked: kubeadm does not run it',
    ],
    [
      'a cluster without kube-proxy',
      { images: { 'kube-proxy': null } },
      'kube-proxy was not checked: there is no DaemonSet kube-system/kube-proxy',
    ],
    [
      'a cluster without CoreDNS',
      { images: { coredns: null } },
      'coredns was not checked: there is no Deployment kube-system/coredns',
    ],
    [
      'an add-on that kubeadm-config leaves out',
      { answer: listing(without('kube-proxy')) },
      'kube-proxy was not checked: kubeadm-config leaves it out',
    ],
    [
      'an add-on that the settings leave out',
      { skipPhases: ['addon/coredns'], images: { coredns: 'a/coredns:v1.9.0' } },
      'coredns was not checked: kubeadm.skipPhases has addon/coredns',
    ],
  ];
  test.each(notes)('%s, and says so', async (_what, given, note) => {
    expect(await check(given)).toMatchObject({ reasons: [], notes: [note] });
  });

  test('both add-ons left out', async () => {
    const { reasons, notes } = await check({
      skipPhases: ['addon'],
      images: { 'kube-proxy': 'a:v1', coredns: 'a:v1' },
    });
    expect([reasons, notes?.length]).toEqual([[], 2]);
  });

  test('a dry-run, which asks no node', async () => {
    const given = { dryRun: true, images: { 'kube-scheduler': 'a:v1.34.4' } };
    expect(await check(given)).toEqual({
      reasons: [],
      notAsked: 'not checked: a dry-run changes no component',
      asked: [],
    });
  });
});

test.each([
  [{ code: 1, output: 'error: kubeadm cannot list its images: no' }, 'no'],
  [{ code: 0, output: '' }, 'no output'],
  [{ code: 0, output: 'result: {"images":[]}' }, 'result: {"images":[]}'],
])('is unknown when kubeadm lists nothing: %j', async (answer, why) => {
  await expect(check({ answer })).rejects.toThrow('kubeadm on m2 does not list the images of 1.34.5: ');
  await expect(check({ answer })).rejects.toThrow(why);
});
