import type { V1Container, V1Pod } from '@kubernetes/client-node';
import { describe, expect, test } from 'vitest';
import { componentPod, testSettings } from '../testing/cluster.ts';
import { inFlightSince, master } from '../testing/fake-context.ts';
import { etcdMembers } from './etcd-members.ts';
import type { GateContext } from './gate.ts';

const nodes = ['k8s-master', 'k8s-master2', 'k8s-master3'].map((name, i) =>
  master({ name, address: `10.0.0.1${i}` }),
);
const member = (i: number, error?: string) => ({
  endpoint: `https://10.0.0.1${i}:2379`,
  health: error === undefined,
  took: '9ms',
  ...(error !== undefined && { error }),
});
const id = '3f2a9c0d1e77';
const flagsOf = (endpoint: string, directory: string) => [
  `--endpoints=${endpoint}`,
  `--cacert=${directory}/ca.crt`,
  `--cert=${directory}/server.crt`,
  `--key=${directory}/server.key`,
];
const kubeadms = flagsOf('https://127.0.0.1:2379', '/etc/kubernetes/pki/etcd');

const etcdOf = (node: string, container: Partial<V1Container> = {}) =>
  componentPod('etcd', node, 'registry.k8s.io/etcd:3.6.5-0', container);
const etcds = nodes.map(({ name }) => etcdOf(name));
/** What crictl is asked for: etcd of the static pod of k8s-master2. */
const asked = [
  ...['crictl', 'ps', '--state', 'Running', '--label', 'io.kubernetes.container.name=etcd'],
  ...['--label', 'io.kubernetes.pod.namespace=kube-system'],
  ...['--label', 'io.kubernetes.pod.name=etcd-k8s-master2', '-q'],
];

async function reasonsFor(
  output: string,
  container = id,
  pods: readonly V1Pod[] = etcds,
  flags: readonly string[] = kubeadms,
): Promise<readonly string[]> {
  const read = async ({ name }: { name: string }, words: readonly string[]) => {
    expect(name).toBe('k8s-master2');
    if (words[1] === 'ps') {
      expect(words).toEqual(asked);
      return { code: 0, output: container };
    }
    expect(words.slice(3, 8)).toEqual(['etcdctl', ...flags]);
    expect(words.slice(0, 3)).toEqual(['crictl', 'exec', id]);
    return { code: output.includes('false') ? 1 : 0, output };
  };
  const ready = nodes.map((node) => ({ ...node, ready: node.name !== 'k8s-master' }));
  const settings = testSettings();
  const cluster = { pods: async () => pods };
  const ctx = { nodes: ready, shell: { read }, settings, cluster } as unknown as GateContext;
  return (await etcdMembers.check(ctx)).reasons;
}

test.each<[what: string, output: string, reasons: string[]]>([
  ['all healthy', JSON.stringify([member(0), member(1), member(2)]), []],
  [
    'an unhealthy one is named by its node, with log lines of etcdctl around the answer',
    `{"level":"warn"}\n${JSON.stringify([member(0), member(1), member(2, 'context deadline exceeded')])}\nError: unhealthy cluster`,
    ["etcd's member on k8s-master3 is not healthy: context deadline exceeded"],
  ],
  [
    'one that is missing',
    JSON.stringify([member(0), member(1)]),
    ['etcd has 2 reachable members, but there are 3 control-plane nodes'],
  ],
  [
    'no answer',
    'Error: context deadline exceeded',
    ['etcd on k8s-master2 does not report the health of its members: Error: context deadline exceeded'],
  ],
  [
    'a truncated answer',
    '[{"endpoint":',
    ['etcd on k8s-master2 does not report the health of its members: [{"endpoint":'],
  ],
])('%s', async (_what, output, reasons) => {
  expect(await reasonsFor(output)).toEqual(reasons);
});

test.each(['sudo: crictl: command not found', 'bash: line 1: crictl: not found'])(
  'no crictl: %s',
  async (output) => {
    expect(await reasonsFor('', output)).toEqual([
      'crictl is missing on k8s-master2 and is needed to reach etcd: apt-get install cri-tools',
    ]);
  },
);

test('an external etcd of the settings is not checked', async () => {
  const settings = testSettings({ gates: { externalEtcdVersion: '3.5.26' } });
  const ctx = { nodes, settings, cluster: { pods: async () => [] } } as unknown as GateContext;
  expect(await etcdMembers.check(ctx)).toEqual({
    reasons: [],
    notAsked: 'not checked: etcd is outside the cluster and is not upgraded',
  });
});

test('F37: a container of another pod is not asked; several of this pod are named', async () => {
  const both = await reasonsFor('', `${'1'.repeat(64)}\n${'2'.repeat(64)}`);
  expect(both).toEqual([
    'several containers on k8s-master2 are etcd of kube-system/etcd-k8s-master2: 1111111111111, 2222222222222',
  ]);
  const [first] = etcds;
  const others = [
    { ...etcdOf('k8s-master2'), metadata: { name: 'etcd-k8s-master2', namespace: 'apps' } },
    { ...etcdOf('k8s-master2'), metadata: { name: 'etcd-0', namespace: 'kube-system' } },
  ];
  expect(await reasonsFor('', '', [first as V1Pod, ...others])).toEqual([
    'k8s-master2 has no pod kube-system/etcd-k8s-master2: is etcd running there?',
  ]);
});

const healthy = JSON.stringify([member(0), member(1), member(2)]);
/** kubespray's, after those of a sidecar. */
const elsewhere = (...urls: string[]) => [
  ...['etcd', '--cert-file', '/etc/kubernetes/ssl/etcd/server.crt'],
  '--trusted-ca-file=/etc/kubernetes/ssl/etcd/ca.crt',
  '-key-file=/etc/kubernetes/ssl/etcd/server.key',
  `--listen-client-urls=${urls.join()}`,
];
describe("F38: what etcd's command line says", () => {
  test.each([
    [['https://10.0.0.11:4001', 'https://127.0.0.1:4001'], 'https://127.0.0.1:4001'],
    [['https://10.0.0.11:2379'], 'https://10.0.0.11:2379'],
    [['http://127.0.0.1:1', 'https://0.0.0.0:2379'], 'https://127.0.0.1:2379'],
    [['https://[fd00::11]:2379', 'https://[::1]:2379'], 'https://localhost:2379'],
    [['https://[::]:2379'], 'https://localhost:2379'],
  ])('etcd that listens at %j is asked at %s, with its own certificates', async (urls, endpoint) => {
    const pod = etcdOf('k8s-master2', { command: elsewhere(...urls) });
    pod.spec?.containers.unshift({ name: 'backup', command: ['x', '--cert-file=/no'] });
    const flags = flagsOf(endpoint, '/etc/kubernetes/ssl/etcd');
    expect(await reasonsFor(healthy, id, [pod], flags)).toEqual([]);
  });

  const [, ...own] = elsewhere('https://127.0.0.1:2379');
  test.each<[what: string, container: Partial<V1Container>, message: string]>([
    ['has no certificate', { command: ['etcd', ...own.slice(2)] }, 'a path in --cert-file'],
    ['has a variable', { command: ['etcd', ...own, '--key-file=$(KEY)'] }, 'a path in --key-file'],
    [
      'listens to plain HTTP',
      { command: elsewhere('http://127.0.0.1:2379') },
      'an https URL in --listen-client-urls',
    ],
    [
      'listens to nothing that can be asked',
      { command: elsewhere('https://[fd00::1]:1') },
      'an https URL in',
    ],
    ['has a file of settings', { args: ['--config-file=/x'] }, 'its flags, as it reads a file of settings'],
    [
      'has a file of settings in a variable',
      { env: [{ name: 'ETCD_CONFIG_FILE', value: '/x' }] },
      'its flags, as it reads a file of settings',
    ],
    ['is another container', { name: 'db' }, 'a container etcd'],
  ])('an etcd that %s is unknown', async (_what, container, message) => {
    const command = ['etcd', ...own];
    const pod = etcdOf('k8s-master2', { command, ...container });
    await expect(reasonsFor(healthy, id, [pod])).rejects.toThrow(
      `kube-system/etcd-k8s-master2 does not show ${message}`,
    );
  });
});

test('etcd does not run on the node that is queried', async () => {
  expect(await reasonsFor('', '')).toEqual([
    'etcd is not running on k8s-master2; see crictl ps -a on that node',
  ]);
});

test('over IPv6 etcd is queried as localhost, and the member of a node in progress may be unhealthy', async () => {
  const over6 = nodes.map((node, i) => ({
    ...node,
    address: `fd00::1${i}`,
    changedAt: i === 0 ? Date.now() : undefined,
  }));
  const endpoint = (i: number, error?: string) => ({
    ...member(i, error),
    endpoint: `https://[fd00::1${i}]:2379`,
  });
  const sent: string[] = [];
  const read = async (_node: unknown, words: readonly string[]) => {
    sent.push(...words);
    return {
      code: 1,
      output: words[1] === 'ps' ? id : JSON.stringify([endpoint(0, 'gone'), endpoint(1), endpoint(2)]),
    };
  };
  const inProgress = over6.map((node) => (node.changedAt ? { ...node, cordonedByUs: true } : node));
  const inFlight = inFlightSince(Date.now() - 60_000);
  const command = elsewhere('https://[::1]:2379', 'https://[fd00::11]:2379');
  const ctx = {
    cluster: { pods: async () => nodes.map(({ name }) => etcdOf(name, { command })) },
    nodes: inProgress,
    shell: { read },
    settings: testSettings(),
    inFlight,
  } as unknown as GateContext;
  expect(await etcdMembers.check(ctx)).toEqual({ reasons: [] });
  expect(sent).toContain('--endpoints=https://localhost:2379');
});
