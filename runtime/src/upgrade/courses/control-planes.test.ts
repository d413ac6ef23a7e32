import type { V1Pod } from '@kubernetes/client-node';
import { expect, test } from 'vitest';
import type { ClusterNode } from '../../cluster/nodes.ts';
import { controlPlaneFirst } from '../../gates/control-plane-first.ts';
import { parseRelease } from '../../release.ts';
import type { InFlight } from '../../rollout/journal.ts';
import { withTargetImage } from '../../rollout/remaining.ts';
import { componentPod } from '../../testing/cluster.ts';
import { fakeContext, master } from '../../testing/fake-context.ts';
import { bothSteps, inOne } from '../../testing/run.ts';
import { verdictsOf } from '../context.ts';
import { runUpgrade } from '../run.ts';

const target = parseRelease('test', '1.34.5');

const three = () =>
  ['k8s-master', 'k8s-master2', 'k8s-master3'].map((name, i) => master({ name, address: `10.0.0.1${i}` }));
const scripts = (effects: readonly string[]) => effects.filter((effect) => effect.includes('update_k8s --'));

test('the first of three control-plane nodes runs upgrade apply, the others run upgrade node', async () => {
  const { ctx, fake } = fakeContext({ nodes: three() });
  expect((await runUpgrade(ctx)).outcome).toBe('done');
  expect(scripts(fake.effects)).toEqual([
    ...bothSteps('k8s-master', 'master'),
    ...bothSteps('k8s-master2', 'worker'),
    ...bothSteps('k8s-master3', 'worker'),
  ]);
});

test("an unhealthy etcd member after the first node stops the rollout before the second's cordon", async () => {
  const { ctx, fake } = fakeContext({ nodes: three() });
  const { read } = ctx.shell;
  const answer = [{ endpoint: 'https://10.0.0.12:2379', health: false, error: 'deadline exceeded' }];
  ctx.shell.read = async (node, words) =>
    words[1] === 'exec' && fake.node('k8s-master').release === '1.34.5'
      ? { code: 1, output: JSON.stringify(answer) }
      : read(node, words);
  const { outcome, message } = await runUpgrade(ctx);
  expect(outcome).toBe('blocked');
  expect(message).toContain('stopped before the control-plane node k8s-master2');
  expect(message).toContain("etcd-members: etcd's member on k8s-master3 is not healthy: deadline exceeded");
  expect(scripts(fake.effects)).toEqual(bothSteps('k8s-master', 'master'));
  expect(fake.node('k8s-master2').unschedulable).toBe(false);
});

test('an unfinished control-plane node keeps the workers waiting, even at the target', async () => {
  const [first, second] = three().map((node) => ({ ...node, release: target }));
  const nodes = first && second ? [first, { ...second, unfinished: true }] : [];
  const { ctx } = fakeContext({ nodes });
  const [verdict] = await verdictsOf(ctx, [controlPlaneFirst]);
  expect(verdict?.reasons).toEqual([
    'k8s-master2 is in progress; the stage master must bring it to 1.34.5 first',
  ]);
});

const apiServer = (node: string, release: string): V1Pod =>
  componentPod('kube-apiserver', node, `registry.k8s.io/kube-apiserver:v${release}`);

test('while only some control-plane nodes are upgraded, an old API server may answer', async () => {
  const nodes = three().map((node, i) =>
    i === 0 ? { ...node, release: target, changedAt: Date.now() } : node,
  );
  const { ctx, fake } = fakeContext({ nodes, inFlight: {}, server: '1.34.2' });
  const pods = nodes.map((node) => apiServer(node.name, node.release));
  const isFirst = ({ spec }: V1Pod) => spec?.nodeName === 'k8s-master';
  const shown = fake.pods.map((pod) => (isFirst(pod) ? withTargetImage(pod, target) : pod));
  fake.pods = [...shown, ...pods];
  fake.onScript = async (name) => {
    if (name === 'k8s-master3') fake.server = target;
  };
  expect(await runUpgrade(ctx)).toMatchObject({ outcome: 'done' });
  const [, ...old] = pods;
  const minor = { target: parseRelease('test', '1.35.3'), kind: 'minor' as const };
  const later = nodes.map((node, i) => (i === 0 ? { ...node, release: minor.target } : node));
  const ahead = fakeContext({ nodes: later, ...minor, inFlight: minor, server: '1.34.2' });
  ahead.fake.pods = [...ahead.fake.pods, apiServer('k8s-master', '1.34.2'), ...old];
  expect((await runUpgrade(ahead.ctx)).message).toContain(
    'kubelet 1.35.3 of k8s-master is of a newer minor than the API server 1.34.2',
  );
});

/** A rollout killed during the second node, whose kubelet is at `release`. */
function secondInProgress(release: string) {
  const inProgress = { cordonedByUs: true, unschedulable: true, changedAt: Date.now() - 1_000, ready: false };
  const [first, second, third] = three();
  const nodes = [
    { ...first, release: target, changedAt: Date.now() - 1_000 },
    { ...second, ...inProgress, release: parseRelease('test', release) },
    third,
  ] as ClusterNode[];
  const made = fakeContext({ nodes, inFlight: {}, server: target });
  const [pod] = made.fake.pods.filter(({ spec }) => spec?.nodeName === 'k8s-master2');
  if (pod?.status) pod.status.conditions = [];
  made.fake.onScript = async (name) => {
    made.fake.change(name, { ready: true });
    if (pod?.status) pod.status.conditions = [{ type: 'Ready', status: 'True' }];
  };
  return made;
}

test.each(['1.34.2', '1.34.5'])(
  'a node interrupted at %s is finished, though its own pods, kubelet and etcd member are unhealthy',
  async (release) => {
    const { ctx, fake } = secondInProgress(release);
    const { read } = ctx.shell;
    const isDown = () => !fake.node('k8s-master2').ready;
    ctx.shell.read = async (node, words) => {
      if (words[1] !== 'exec' || !isDown()) return read(node, words);
      const members = [0, 1, 2].map((i) => ({ endpoint: `https://10.0.0.1${i}:2379`, health: i !== 1 }));
      return { code: 1, output: JSON.stringify(members) };
    };
    expect(await runUpgrade(ctx)).toMatchObject({ outcome: 'done' });
    expect(scripts(fake.effects)).toEqual([
      inOne('k8s-master2', 'worker'),
      ...bothSteps('k8s-master3', 'worker'),
    ]);
  },
);

test('a run to a newer release finishes a node interrupted on the way to an older one, and keeps the snapshot', async () => {
  const [first, second, third] = three();
  const inProgress = { cordonedByUs: true, unschedulable: true, changedAt: Date.now() - 1_000, ready: false };
  const nodes = [{ ...first, ...inProgress }, second, third] as ClusterNode[];
  const inFlight = { target: parseRelease('test', '1.34.4'), snapshotPath: '/backup/old.db' };
  const { ctx, fake } = fakeContext({ nodes, inFlight });
  const started = fake.inFlight?.started;
  let during: InFlight | undefined;
  fake.onScript = async (name) => {
    during ??= fake.inFlight;
    fake.change(name, { ready: true });
  };
  expect(await runUpgrade(ctx)).toMatchObject({ outcome: 'done' });
  expect(scripts(fake.effects)).toEqual([
    inOne('k8s-master', 'master'),
    ...bothSteps('k8s-master2', 'worker'),
    ...bothSteps('k8s-master3', 'worker'),
  ]);
  expect(during).toMatchObject({ started, target, kind: 'patch', snapshotPath: '/backup/old.db' });
  expect(fake.effects.some((effect) => effect.includes('snapshot'))).toBe(false);
});

test.each([
  ['with one node unchanged', { release: parseRelease('test', '1.34.2') }, '1.34.4'],
  ['with the last node unfinished although its kubelet is upgraded', { unfinished: true }, '1.34.4'],
  ['with one API server behind although every kubelet is upgraded', {}, '1.34.2'],
])(
  'a rollout of three control-plane nodes %s is unfinished: a run to another release keeps its snapshot',
  async (_, change, old) => {
    const at = { release: parseRelease('test', '1.34.4'), changedAt: Date.now() - 1_000 };
    const [first, second, third] = three();
    const nodes = [
      { ...first, ...at },
      { ...second, ...at },
      { ...third, ...at, ...change },
    ] as ClusterNode[];
    const inFlight = { target: at.release, snapshotPath: '/backup/old.db' };
    const { ctx, fake } = fakeContext({ nodes, inFlight, server: '1.34.4' });
    const servers = new Map(nodes.map(({ name }) => [name, name === 'k8s-master3' ? old : '1.34.4']));
    fake.onScript = async (name) => void servers.set(name, target);
    const apiServers = async () => [...servers].map(([name, at]) => apiServer(name, at));
    const cluster = { ...ctx.cluster, apiServers };
    expect(await runUpgrade({ ...ctx, cluster })).toMatchObject({ outcome: 'done' });
    expect(fake.effects.some((effect) => effect.includes('snapshot'))).toBe(false);
  },
);

test('the members of an external etcd are not checked, and the stage snapshot is skipped with the reason', async () => {
  const nodes = three();
  const { ctx, fake } = fakeContext({
    nodes,
    settings: { gates: { externalEtcdVersion: '3.5.26', alertWait: '30ms', alertInterval: '5ms' } },
  });
  fake.pods = fake.pods.filter((pod) => !pod.metadata?.name?.startsWith('etcd-'));
  const { read } = ctx.shell;
  ctx.shell.read = async (node, words) => {
    if (words[0] === 'crictl') return { code: 0, output: '' };
    return read(node, words);
  };
  expect(await runUpgrade(ctx)).toMatchObject({ outcome: 'done' });
  await ctx.report.flush();
  expect(fake.events.filter((event) => event.type === 'stage-skipped')).toContainEqual({
    type: 'stage-skipped',
    stage: 'snapshot',
    why: expect.stringContaining('etcd is outside the cluster'),
  });
  expect(fake.effects.some((effect) => effect.includes('snapshot'))).toBe(false);
});

test('an interrupted node stays as it is while another one is unhealthy', async () => {
  const { ctx, fake } = secondInProgress('1.34.2');
  const { read } = ctx.shell;
  const answer = [0, 2].map((i) => ({
    endpoint: `https://10.0.0.1${i}:2379`,
    health: i === 0,
    error: 'away',
  }));
  ctx.shell.read = async (node, words) =>
    words[1] === 'exec' ? { code: 1, output: JSON.stringify(answer) } : read(node, words);
  const { outcome, message } = await runUpgrade(ctx);
  expect(outcome).toBe('blocked');
  expect(message).toContain('stopped before continuing');
  expect(message).toContain("etcd-members: etcd's member on k8s-master3 is not healthy: away");
  expect(message).not.toContain('control-plane:');
  expect(scripts(fake.effects)).toEqual([]);
});

test('a control-plane pod that is not Ready stops the rollout, after the interrupted node is finished', async () => {
  const nodes = three().map((node, i) =>
    i === 0 ? { ...node, release: target, changedAt: Date.now() } : node,
  );
  const [, second] = nodes;
  const { ctx, fake } = fakeContext({
    nodes: nodes.map((node) =>
      node === second ? { ...node, cordonedByUs: true, unschedulable: true, changedAt: Date.now() } : node,
    ),
    inFlight: {},
    stages: 'master',
    server: target,
  });
  const [pod] = fake.pods.filter(({ spec }) => spec?.nodeName === 'k8s-master2');
  if (pod?.status) pod.status.conditions = [];
  const { outcome, message } = await runUpgrade(ctx);
  expect(scripts(fake.effects)).toEqual([inOne('k8s-master2', 'worker')]);
  expect(outcome).toBe('blocked');
  expect(message).toContain('k8s-master3');
  expect(message).toMatch(/control-plane: pod kube-system\/\S+k8s-master2 is not Ready/);
});
