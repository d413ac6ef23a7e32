import { describe, expect, test } from 'vitest';
import { parseRelease } from '../../release.ts';
import { ScriptError } from '../../ssh/node-shell.ts';
import { clusterNode, componentPod } from '../../testing/cluster.ts';
import { fakeContext, master } from '../../testing/fake-context.ts';
import { bothSteps, inOne, run, target, upgraded } from '../../testing/run.ts';
import { planSteps } from '../plan.ts';

/** An API server that is behind although the kubelet of its node is at the target. */

const scripts = (effects: readonly string[]) => effects.filter((effect) => effect.includes('update_k8s --'));
/** The static pod of an API server. */
const apiServer = (node: string, release: string) =>
  componentPod('kube-apiserver', node, `registry.k8s.io/kube-apiserver:v${release}`);
const left = (options: { ownNode?: string } = {}) =>
  fakeContext({
    nodes: [master({ release: target }), clusterNode('k8s-node1', { release: target })],
    server: '1.34.4',
    ...options,
  });

test('an API server behind its kubelet is upgraded, after a snapshot', async () => {
  const { ctx, fake } = left();
  const steps = await planSteps(ctx);
  expect(steps).toContainEqual(
    expect.stringContaining(
      'k8s-master  1.34.5 → 1.34.5: fetch packages and images, kubeadm, drain, kubelet, Ready',
    ),
  );
  expect(await run({ ctx })).toMatchObject({
    outcome: 'done',
    message: expect.stringMatching(/^upgrade finished/),
  });
  expect(fake.server).toBe(target);
  expect(scripts(fake.effects)).toEqual(bothSteps('k8s-master', 'master'));
  expect(fake.effects.indexOf('k8s-master snapshot before 1.34.5')).toBeGreaterThan(-1);
  expect(fake.effects.indexOf('k8s-master snapshot before 1.34.5')).toBeLessThan(
    fake.effects.indexOf(upgraded('k8s-master', 'master', 'none')[0] ?? ''),
  );
});

test('an API server behind two others is found by its image', async () => {
  const names = ['k8s-master', 'k8s-master2', 'k8s-master3'];
  const nodes = names.map((name, i) => master({ name, address: `10.0.0.1${i}`, release: target }));
  const { ctx, fake } = fakeContext({ nodes, server: target });
  const pods = names.map((nodeName, i) => apiServer(nodeName, i === 1 ? '1.34.4' : target));
  fake.pods = [...fake.pods, ...pods];
  expect((await run({ ctx })).outcome).toBe('done');
  expect(scripts(fake.effects)).toEqual(bothSteps('k8s-master2', 'worker'));
});

test('an API server that stays behind is upgraded once, and the run fails', async () => {
  const { ctx, fake } = left();
  const { script } = ctx.shell;
  ctx.shell.script = async (...args) => {
    const result = await script(...args);
    fake.server = parseRelease('test', '1.34.4');
    return result;
  };
  expect(await run({ ctx })).toMatchObject({
    outcome: 'failed',
    message: 'the control plane was upgraded, but the API server of k8s-master is still older than 1.34.5',
  });
  expect(scripts(fake.effects)).toEqual(bothSteps('k8s-master', 'master'));
});

test('an API server on a node that a person cordoned is finished by the next run after kubeadm failed', async () => {
  const made = fakeContext({
    nodes: [master({ release: target, unschedulable: true }), clusterNode('k8s-node1')],
    server: '1.34.4',
  });
  made.fake.onScript = async (name) => {
    made.fake.server = target;
    throw new ScriptError(name, 'update_k8s', 1, ['error: kubeadm gave up on kube-scheduler']);
  };
  expect((await run(made)).outcome).toBe('failed');
  made.fake.onScript = async () => {};
  made.fake.effects.length = 0;
  expect((await run(made)).outcome).toBe('done');
  expect(scripts(made.fake.effects)).toEqual([
    ...bothSteps('k8s-master', 'master'),
    ...bothSteps('k8s-node1', 'worker'),
  ]);
});

test('a node at the target that is in progress runs upgrade apply again, not upgrade node', async () => {
  const inProgress = {
    release: target,
    cordonedByUs: true,
    unschedulable: true,
    changedAt: Date.now() - 1_000,
  };
  const { ctx, fake } = fakeContext({
    nodes: [master(inProgress), clusterNode('k8s-node1', { release: target })],
    inFlight: {},
    server: target,
  });
  expect((await run({ ctx })).outcome).toBe('done');
  expect(scripts(fake.effects)).toEqual([inOne('k8s-master', 'master')]);
});

describe('one of several API servers that is behind', () => {
  const several = (releases: readonly string[], kubelets: readonly string[] = releases) => {
    const names = ['k8s-master', 'k8s-master2', 'k8s-master3'];
    const nodes = names.map((name, i) =>
      master({ name, address: `10.0.0.1${i}`, release: parseRelease('test', kubelets[i] ?? '') }),
    );
    return { nodes, pods: names.map((name, i) => apiServer(name, releases[i] ?? '')) };
  };

  test('keeps the workers waiting, whichever API server answers', async () => {
    const { nodes, pods } = several([target, '1.34.4', target], [target, target, target]);
    const stages = 'workers,postflight';
    const { ctx, fake } = fakeContext({
      nodes: [...nodes, clusterNode('k8s-node1')],
      server: target,
      stages,
    });
    fake.pods = [...fake.pods, ...pods];
    const { outcome, message } = await run({ ctx });
    expect(outcome).toBe('blocked');
    expect(message).toContain('the API server of k8s-master2 is older than 1.34.5');
    expect(scripts(fake.effects)).toEqual([]);
  });

  test('is found by post-flight', async () => {
    const { nodes, pods } = several([target, '1.34.4', target], [target, target, target]);
    const { ctx, fake } = fakeContext({ nodes, server: target, stages: 'postflight', inFlight: {} });
    fake.pods = [...fake.pods, ...pods];
    expect(await run({ ctx })).toMatchObject({
      outcome: 'failed',
      message: 'not everything is at 1.34.5: the API server of k8s-master2',
    });
  });

  test('is upgraded after a snapshot, when somebody upgraded the first one manually', async () => {
    const { nodes, pods } = several([target, '1.34.4', '1.34.4']);
    const { ctx, fake } = fakeContext({ nodes, server: target });
    fake.pods = [...fake.pods, ...pods];
    expect((await run({ ctx })).outcome).toBe('done');
    const snapshotAt = fake.effects.indexOf('k8s-master snapshot before 1.34.5');
    expect(snapshotAt).toBeGreaterThan(-1);
    expect(snapshotAt).toBeLessThan(fake.effects.findIndex((effect) => effect.includes('update_k8s --')));
  });
});

test('an API server behind on the own node of the Job is left to the next Job', async () => {
  const { ctx, fake } = left({ ownNode: 'k8s-master' });
  expect(await run({ ctx })).toMatchObject({ handedOff: true });
  expect(scripts(fake.effects)).toEqual([]);
  expect(fake.effects).toContain('next Job, not on k8s-master');
});
