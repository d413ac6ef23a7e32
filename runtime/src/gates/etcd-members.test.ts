import { expect, test } from 'vitest';
import { testSettings } from '../testing/cluster.ts';
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

async function reasonsFor(output: string, container = id): Promise<readonly string[]> {
  const read = async ({ name }: { name: string }, words: readonly string[]) => {
    expect(name).toBe('k8s-master2');
    if (words[1] === 'ps') return { code: 0, output: container };
    expect(words.slice(0, 3)).toEqual(['crictl', 'exec', id]);
    return { code: output.includes('false') ? 1 : 0, output };
  };
  const ready = nodes.map((node) => ({ ...node, ready: node.name !== 'k8s-master' }));
  const settings = testSettings();
  const ctx = { nodes: ready, shell: { read }, settings } as unknown as GateContext;
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
  const ctx = {
    nodes: inProgress,
    shell: { read },
    settings: testSettings(),
    inFlight,
  } as unknown as GateContext;
  expect(await etcdMembers.check(ctx)).toEqual({ reasons: [] });
  expect(sent).toContain('--endpoints=https://localhost:2379');
});
