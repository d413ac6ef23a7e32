import type { V1Pod } from '@kubernetes/client-node';
import { describe, expect, it } from 'vitest';
import { ownedBy, pod } from '../../testing/cluster.ts';
import { type FakeCluster, fakeContext, master } from '../../testing/fake-context.ts';
import { effectsOn, eventsOf, prepared, run, target, worker } from '../../testing/run.ts';

const ready = { type: 'Ready', status: 'True' };

const daemonPod = (name: string, nodeName: string, isReady = true): V1Pod =>
  pod(`${name}-${nodeName}`, {
    metadata: { namespace: 'kube-system', ownerReferences: [ownedBy('DaemonSet', name)] },
    spec: { nodeName, containers: [] },
    status: { phase: 'Running', conditions: isReady ? [ready] : [] },
  });

/** A pod of the node check's Job, and its name. */
const tried = (fake: FakeCluster, job: string, nodeName: string, status: V1Pod['status']): string => {
  fake.pods.push({
    metadata: {
      name: `${job}-x`,
      namespace: 'k8s-upgrade',
      creationTimestamp: new Date(),
      labels: { 'batch.kubernetes.io/job-name': job },
    },
    spec: { nodeName, containers: [] },
    status,
  });
  return job;
};

const failed = (message: string): V1Pod['status'] => ({
  phase: 'Failed',
  containerStatuses: [{ state: { terminated: { exitCode: 1, message } } } as never],
});

describe('F34: before a node is let back', () => {
  const after = (fake: FakeCluster, name: string, change: () => void) => {
    fake.onScript = async (node, script) => {
      if (node === name && script === 'update_k8s') change();
    };
  };

  it('the DaemonSets that had a Ready pod there have one again', async () => {
    const { ctx, fake } = fakeContext({ nodes: [master(), worker('k8s-node1')] });
    fake.pods.push(daemonPod('cni', 'k8s-node1'), daemonPod('csi', 'k8s-node1', false));
    after(fake, 'k8s-node1', () => {
      fake.pods = fake.pods.filter(({ metadata }) => metadata?.name !== 'cni-k8s-node1');
    });
    const ended = await run({ ctx });
    expect(ended).toMatchObject({
      outcome: 'failed',
      message: expect.stringContaining('DaemonSet kube-system/cni has no Ready pod there'),
      hint: expect.stringContaining('k8s-node1 stays cordoned at 1.34.5'),
    });
    expect(ended.message).not.toContain('csi');
    expect(fake.node('k8s-node1')).toMatchObject({ unschedulable: true, daemonSets: ['kube-system/cni'] });
  });

  it('one that has been deleted since does not count, and none of another node', async () => {
    const { ctx, fake } = fakeContext({ nodes: [master(), worker('k8s-node1')] });
    fake.pods.push(daemonPod('cni', 'k8s-node1'), daemonPod('other', 'k8s-master'));
    after(fake, 'k8s-node1', () => {
      fake.pods = fake.pods.filter(({ metadata }) => metadata?.name !== 'cni-k8s-node1');
    });
    ctx.cluster.daemonSetExists = async (_namespace, name) => name !== 'cni';
    expect((await run({ ctx })).outcome).toBe('done');
  });

  it.each([
    ['no pod has started', undefined, 'no pod of Job after has started there'],
    [
      'its pod has failed',
      failed('trying\ncannot resolve kubernetes.default.svc: EAI_AGAIN\n'),
      'pod after-x failed: cannot resolve kubernetes.default.svc: EAI_AGAIN',
    ],
    [
      'its pod has no network',
      { phase: 'Pending' },
      'pod after-x is Pending, its network or volumes are not there',
    ],
    [
      'its image cannot be pulled',
      {
        phase: 'Pending',
        conditions: [{ type: 'PodReadyToStartContainers', status: 'True' }],
        containerStatuses: [{ state: { waiting: { reason: 'ErrImagePull' } } } as never],
      },
      'pod after-x is Pending: ErrImagePull',
    ],
    ['its pod is still trying', { phase: 'Running' }, 'pod after-x is Running'],
  ])('the run stops where %s', async (_what, status, said) => {
    const { ctx, fake } = fakeContext({ nodes: [master(), worker('k8s-node1')] });
    fake.onNodeCheck = (node) => {
      const job = fake.node(node).release === target ? 'after' : 'before';
      const works = job === 'before' || node === 'k8s-master';
      if (works) return tried(fake, job, node, { phase: 'Succeeded' });
      return status === undefined ? job : tried(fake, job, node, status);
    };
    expect(await run({ ctx })).toMatchObject({ outcome: 'failed', message: expect.stringContaining(said) });
    expect(fake.node('k8s-node1')).toMatchObject({ release: target, unschedulable: true });
  });

  it('what a pod said that has failed is reported, although the Job has started another', async () => {
    const { ctx, fake } = fakeContext({ nodes: [master(), worker('k8s-node1')] });
    fake.onNodeCheck = (node) => {
      if (fake.node(node).release !== target || node === 'k8s-master')
        return tried(fake, `before-${node}`, node, { phase: 'Succeeded' });
      tried(fake, 'after', node, failed('no route'));
      return tried(fake, 'after', node, { phase: 'Running' });
    };
    expect(await run({ ctx })).toMatchObject({
      outcome: 'failed',
      message: expect.stringContaining('pod after-x failed: no route'),
    });
  });

  it('a node on which no pod can be scheduled stays cordoned', async () => {
    const { ctx, fake } = fakeContext({ nodes: [master(), worker('k8s-node1')] });
    fake.onNodeCheck = (node) => tried(fake, node, node, { phase: 'Succeeded' });
    ctx.nodeCheck.untilScheduled = async (job) =>
      job === 'k8s-node1' && fake.node(job).release === target ? 'had taint x' : undefined;
    expect(await run({ ctx })).toMatchObject({
      outcome: 'failed',
      message: 'no pod can be tried on k8s-node1: had taint x',
    });
    expect(fake.node('k8s-node1').unschedulable).toBe(true);
  });
});

describe('F34: before a node is drained', () => {
  it('a pod that fails there blocks the run, and nothing is prepared', async () => {
    const { ctx, fake } = fakeContext({ nodes: [master(), worker('k8s-node1')] });
    fake.onNodeCheck = (node) =>
      tried(fake, `try-${node}`, node, node === 'k8s-node1' ? failed('no route') : { phase: 'Succeeded' });
    expect(await run({ ctx })).toMatchObject({
      outcome: 'blocked',
      message:
        'stopped before the drain of k8s-node1; nothing was changed there:\n  - no pod works there: pod try-k8s-node1-x failed: no route',
      hint: expect.stringContaining('describe job try-k8s-node1'),
    });
    expect(effectsOn(fake, 'k8s-node1')).toEqual([]);
  });

  it('a pod for which there is no room is left out, with a notice', async () => {
    const { ctx, fake } = fakeContext({ nodes: [master(), worker('k8s-node1')] });
    fake.onNodeCheck = (node) => tried(fake, node, node, { phase: 'Succeeded' });
    ctx.nodeCheck.untilScheduled = async (job) =>
      job === 'k8s-node1' && fake.node(job).release !== target ? 'Too many pods.' : undefined;
    expect((await run({ ctx })).outcome).toBe('done');
    expect(eventsOf(fake, 'notice').map(({ text }) => text)).toContain(
      'no pod was tried on k8s-node1 before its upgrade: Too many pods.',
    );
  });

  it('a node in progress is not tried: finishing it is what repairs it (F5)', async () => {
    const inProgress = { changedAt: Date.now() - 30_000, unschedulable: true, cordonedByUs: true };
    const { ctx, fake } = fakeContext({
      inFlight: {},
      nodes: [master({ release: target }), worker('k8s-node1', inProgress)],
      server: '1.34.5',
    });
    const states: string[] = [];
    fake.onNodeCheck = (node) => {
      states.push(fake.node(node).release);
      return tried(fake, node, node, { phase: 'Succeeded' });
    };
    expect((await run({ ctx })).outcome).toBe('done');
    expect(states).toEqual([target]);
    expect(effectsOn(fake, 'k8s-node1')).not.toContain(prepared('k8s-node1', 'worker'));
  });
});
