import type { V1Pod } from '@kubernetes/client-node';
import { describe, expect, it, test } from 'vitest';
import { InputError, UpgradeError } from '../../errors.ts';
import { postflightGates } from '../../gates/index.ts';
import { parseRelease } from '../../release.ts';
import { componentPod } from '../../testing/cluster.ts';
import { fakeContext, master } from '../../testing/fake-context.ts';
import { rejection } from '../../testing/files.ts';
import { effectsOn, eventsOf, run, target, worker } from '../../testing/run.ts';
import { verdictsOf } from '../context.ts';
import { runUpgrade } from '../run.ts';

describe('the kill switch', () => {
  it.each(['all', 'containerd,master'])('stops a run of %s before it starts', async (stages) => {
    const { ctx, fake } = fakeContext({ stages });
    fake.killSwitch = 'disk swap';
    expect(await run({ ctx })).toMatchObject({
      outcome: 'blocked',
      message: 'upgrades are halted:\n  - disk swap',
    });
    expect(fake.effects).toEqual(['journal acknowledge']);
    expect(fake.inFlight).toBeUndefined();
  });

  it('stops a run right before its next drain, after the current node is finished', async () => {
    const { ctx, fake } = fakeContext({ settings: { gates: { alertWait: '1h' }, timing: { soak: '0s' } } });
    fake.onDrain = async (node) => {
      if (node === 'k8s-node2') fake.killSwitch = 'disk swap';
    };
    expect(await run({ ctx })).toMatchObject({
      outcome: 'blocked',
      message:
        'stopped before the drain of k8s-node1:\n  - kill-switch: halted: disk swap (k8s-upgrade resume lifts it)',
    });
    expect(fake.node('k8s-node2')).toMatchObject({ release: target, unschedulable: false });
    expect(effectsOn(fake, 'k8s-node1')).toEqual([]);
  });
});

describe('alerts', () => {
  const alert = (name: string, labels: Record<string, string> = {}) => ({ name, labels });

  it('that the rollout itself causes do not stop it (F8)', async () => {
    const { ctx, fake } = fakeContext();
    fake.firing = async () => {
      const changed = fake.nodes.filter((node) => node.changedAt !== undefined);
      if (changed.length === 0) return [];
      return [
        alert('K8sVersionSkew'),
        ...changed.map((node) => alert('RecentNodeReboot', { node: node.name })),
      ];
    };
    expect((await run({ ctx })).outcome).toBe('done');
  });

  it('with another cause stop the rollout before the next drain, by name', async () => {
    const { ctx, fake } = fakeContext({
      settings: { gates: { alertWait: '30ms', alertInterval: '5ms' }, timing: { soak: '0s' } },
    });
    fake.firing = async () =>
      fake.node('k8s-master').release === target ? [alert('RecentNodeReboot', { node: 'k8s-node1' })] : [];
    expect(await run({ ctx })).toMatchObject({
      outcome: 'blocked',
      message: expect.stringContaining('alerts: alert RecentNodeReboot is firing (node=k8s-node1)'),
    });
    expect(effectsOn(fake, 'k8s-node2')).toEqual([]);
    expect(eventsOf(fake, 'waiting')).toHaveLength(1);
  });

  it('that clear within the wait do not stop the rollout', async () => {
    const { ctx, fake } = fakeContext({
      settings: { gates: { alertWait: '5s', alertInterval: '5ms' }, timing: { soak: '0s' } },
    });
    let left = 3;
    fake.firing = async () => {
      if (fake.node('k8s-master').release !== target || left === 0) return [];
      left -= 1;
      return [alert('NodeDiskPressure')];
    };
    expect((await run({ ctx })).outcome).toBe('done');
    expect(eventsOf(fake, 'waiting')).toHaveLength(1);
  });

  it('in a soak stop the rollout at once, and the node keeps its soak for the next run', async () => {
    const { ctx, fake } = fakeContext({
      settings: { gates: { alertWait: '1h', alertInterval: '5ms' }, timing: { soak: '1m' } },
    });
    fake.firing = async () => (fake.node('k8s-node2').soakingSince ? [alert('NodeDiskPressure')] : []);
    expect(await run({ ctx })).toMatchObject({
      outcome: 'blocked',
      message: 'stopped in the soak of k8s-node2:\n  - alerts: alert NodeDiskPressure is firing',
    });
    expect(fake.node('k8s-node2')).toMatchObject({
      release: target,
      unschedulable: false,
      soakingSince: expect.any(Number),
    });
    expect(effectsOn(fake, 'k8s-node1')).toEqual([]);
  });

  it('that cannot be read block preflight (F31) and are waited for in a soak', async () => {
    const { ctx, fake } = fakeContext();
    fake.firing = async () => {
      throw new UpgradeError('failed', 'prometheus.url: no answer');
    };
    expect(await run({ ctx })).toMatchObject({
      outcome: 'blocked',
      message: expect.stringContaining('alerts: unknown, so closed: prometheus.url: no answer'),
    });
    expect(fake.effects).toEqual(['journal acknowledge']);

    const soaked = fakeContext({ settings: { gates: { alertWait: '5s', alertInterval: '5ms' } } });
    let left = 3;
    soaked.fake.firing = async () => {
      if (left > 0 && soaked.fake.nodes.some((node) => node.soakingSince !== undefined)) {
        left -= 1;
        throw new UpgradeError('failed', 'Prometheus moves');
      }
      return [];
    };
    expect((await run(soaked)).outcome).toBe('done');
    expect(left).toBe(0);
  });
});

describe('preflight', () => {
  const withWorker = (node: Parameters<typeof worker>[1]) => [master(), worker('k8s-node1', node)];

  it('holds a fresh run when only time opens its gates (F15), otherwise blocks it', async () => {
    const recent = fakeContext({ nodes: withWorker({ readySince: Date.now() - 60_000 }) });
    expect(await run(recent)).toMatchObject({
      outcome: 'held',
      message: expect.stringContaining('node k8s-node1 became Ready 1m ago, within the quiet period of 1d'),
    });
    const both = fakeContext({ nodes: withWorker({ readySince: Date.now(), pressures: ['DiskPressure'] }) });
    const result = await run(both);
    expect(result.outcome).toBe('blocked');
    for (const reason of ['quiet: node k8s-node1', 'nodes: node k8s-node1 has DiskPressure'])
      expect(result.message).toContain(reason);
    for (const { fake } of [recent, both]) expect(fake.inFlight).toBeUndefined();
  });

  it('does not hold a resumed run for what the rollout itself did (F8)', async () => {
    const changed = { readySince: Date.now() - 1_000, changedAt: Date.now() - 30_000, release: target };
    const { ctx } = fakeContext({ inFlight: {}, nodes: [master(changed), worker('k8s-node1')] });
    expect((await run({ ctx })).outcome).toBe('done');
  });

  it('does not hold a resumed run for a reboot since the rollout started', async () => {
    const { ctx } = fakeContext({ inFlight: {}, nodes: withWorker({ readySince: Date.now() - 1_000 }) });
    expect((await run({ ctx })).outcome).toBe('done');
  });

  it('does not hold an unfinished rollout for the quiet period', async () => {
    const changed = { changedAt: Date.now() - 30_000, release: target };
    const { ctx } = fakeContext({
      inFlight: {},
      nodes: [master(changed), worker('k8s-node1', { readySince: Date.now() - 3_600_000 })],
    });
    expect((await run({ ctx })).outcome).toBe('done');
  });

  it('holds a resumed run that has changed nothing when only time opens its gates (F15)', async () => {
    const { ctx, fake } = fakeContext({
      inFlight: {},
      nodes: withWorker({ readySince: Date.now() - 3_600_000 }),
    });
    expect(await run({ ctx })).toMatchObject({
      outcome: 'held',
      message: expect.stringContaining('quiet: '),
    });
    expect(fake.inFlight).toBeDefined();
  });

  test.each([
    ['a node that is not Ready', { ready: false }, 'nodes: node k8s-node1 is not Ready'],
    [
      'a kubelet newer than the target',
      { release: parseRelease('t', '1.34.6') },
      'version-path: kubelet 1.34.6 of k8s-node1 is newer than 1.34.5',
    ],
  ])('refuses %s', async (_what, change, reason) => {
    const { ctx, fake } = fakeContext({ nodes: withWorker(change) });
    expect(await run({ ctx })).toMatchObject({
      outcome: 'blocked',
      message: expect.stringContaining(reason),
    });
    expect(fake.effects).toEqual(['journal acknowledge']);
  });

  it('lets a worker that joined at the target, ahead of the API server, stay as it is', async () => {
    const { ctx, fake } = fakeContext({ nodes: [...withWorker({ release: target }), worker('k8s-node2')] });
    expect((await run({ ctx })).outcome).toBe('done');
    expect(effectsOn(fake, 'k8s-node1')).toEqual([]);
    expect(fake.nodes.map((node) => node.release)).toEqual([target, target, target]);
  });

  it('refuses a listed node that is absent (F26)', async () => {
    const { ctx } = fakeContext({ nodes: [master(), worker('k8s-node1')] });
    const settings = { ...ctx.settings, nodes: { controlPlane: ['k8s-master'], workers: ['k8s-node7'] } };
    expect(await run({ ctx: { ...ctx, settings } })).toMatchObject({
      outcome: 'blocked',
      message: expect.stringContaining('node k8s-node7 is in the settings but not in the cluster'),
    });
  });

  it('does not stop at a listed node that has left the cluster since (F26)', async () => {
    const left = { release: target, changedAt: Date.now() - 30_000 };
    const { ctx, fake } = fakeContext({ inFlight: {}, nodes: [master(left), worker('k8s-node1')] });
    const settings = { ...ctx.settings, nodes: { controlPlane: [], workers: ['k8s-node7', 'k8s-node1'] } };
    expect((await run({ ctx: { ...ctx, settings } })).outcome).toBe('done');
    expect(fake.inFlight).toBeUndefined();
  });

  it('refuses a control-plane node without control-plane pods', async () => {
    const { ctx, fake } = fakeContext();
    fake.pods = [];
    expect((await run({ ctx })).message).toContain('k8s-master has no control-plane pod');
  });
});

describe('post-flight', () => {
  it('refuses too many pods that are not Ready, and the next run continues from there', async () => {
    const { ctx, fake } = fakeContext({ settings: { gates: { alertWait: '0s' }, timing: { soak: '0s' } } });
    const sick = { metadata: { name: 'web', namespace: 'apps' }, status: { phase: 'Pending' } };
    fake.pods = [...fake.pods, sick];
    expect(await run({ ctx })).toMatchObject({
      outcome: 'blocked',
      message: expect.stringContaining('1 of 5 pods are not Ready (at least 0.9 must be): apps/web'),
    });
    expect(fake.inFlight).toBeDefined();
    fake.pods = fake.pods.filter((pod) => pod !== sick);
    expect((await run({ ctx })).outcome).toBe('done');
    expect(fake.inFlight).toBeUndefined();
  });
});

describe('post-flight, of what kubeadm has left behind', () => {
  const settings = { gates: { alertWait: '0s' }, timing: { soak: '0s' } };

  it('refuses a component, and the next run continues from there', async () => {
    const { ctx, fake } = fakeContext({ settings });
    const old = componentPod('kube-scheduler', 'k8s-master', 'registry.k8s.io/kube-scheduler:v1.34.2');
    const { pods } = ctx.cluster;
    const isOld = (pod: V1Pod) => pod.metadata?.name === 'kube-scheduler-k8s-master';
    ctx.cluster.pods = async () => (await pods()).map((pod) => (isOld(pod) ? old : pod));
    expect(await run({ ctx })).toMatchObject({
      outcome: 'blocked',
      message: expect.stringContaining('components: kube-scheduler of k8s-master runs v1.34.2'),
    });
    expect(fake.inFlight).toBeDefined();
    ctx.cluster.pods = pods;
    expect((await run({ ctx })).outcome).toBe('done');
  });

  it('does not check components in a dry-run', async () => {
    const { ctx } = fakeContext({ settings });
    const request = { ...ctx.request, dryRun: true };
    const verdicts = await verdictsOf({ ...ctx, request }, postflightGates);
    expect(verdicts.find(({ gate }) => gate === 'components')).toMatchObject({ open: true, reasons: [] });
  });
});

describe('a node that cannot be read', () => {
  const unreadable = new InputError('node k8s-node9 status.addresses', 'no address', 'an InternalIP');

  it('is bad input before a rollout', async () => {
    const { ctx, fake } = fakeContext();
    fake.unreadable = [unreadable];
    expect(await rejection(runUpgrade(ctx))).toBe(unreadable);
    expect(fake.effects).toEqual([]);
  });

  it('does not stop a drain during a rollout; the gate nodes waits for it and is closed', async () => {
    const { ctx, fake } = fakeContext();
    fake.onDrain = async (node) => {
      if (node === 'k8s-node1') fake.unreadable = [unreadable];
    };
    expect(await run({ ctx })).toMatchObject({
      outcome: 'blocked',
      message: expect.stringContaining(`stopped at post-flight:\n  - nodes: ${unreadable.message}`),
    });
    expect(fake.node('k8s-node1').release).toBe(target);
    expect((await run({ ctx })).outcome).toBe('blocked');
    fake.unreadable = [];
    expect((await run({ ctx })).outcome).toBe('done');
  });
});
