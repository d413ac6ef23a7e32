import { describe, expect, it } from 'vitest';
import { UpgradeError } from '../../errors.ts';
import { stageNames } from '../../rollout/stages.ts';
import { fakeContext, master } from '../../testing/fake-context.ts';
import { rejection } from '../../testing/files.ts';
import { effectsOn, eventsOf, run, snapshot, target, worker } from '../../testing/run.ts';

describe('a subset of the stages', () => {
  it.each([
    ['preflight', ['journal acknowledge']],
    ['preflight,snapshot', ['journal acknowledge', 'k8s-master snapshot before 1.34.5']],
  ])('%s changes no node and leaves no in-flight annotation (F7)', async (stages, effects) => {
    const { ctx, fake } = fakeContext({ stages });
    expect((await run({ ctx })).outcome).toBe('done');
    expect(fake.effects).toEqual(effects);
    expect(eventsOf(fake, 'in-flight').at(-1)).toMatchObject({ startedAt: undefined });
  });

  it('that changes no node leaves no in-flight annotation when it fails (F7)', async () => {
    const { ctx, fake } = fakeContext({ stages: 'preflight,snapshot' });
    fake.takeSnapshot = async () => {
      throw new UpgradeError('failed', 'no space');
    };
    expect(await run({ ctx })).toMatchObject({ outcome: 'failed', message: 'no space' });
    expect(fake.inFlight).toBeUndefined();
    expect(eventsOf(fake, 'in-flight').at(-1)).toMatchObject({ startedAt: undefined });
  });

  it('that changes no node leaves no in-flight annotation when it is killed and restarted (F5, F7)', async () => {
    const { ctx, fake } = fakeContext({ stages: 'preflight,snapshot' });
    const { takeSnapshot } = fake;
    let killed = 0;
    fake.takeSnapshot = async () => {
      killed += 1;
      throw new TypeError('killed');
    };
    expect(await rejection(run({ ctx }))).toBeInstanceOf(TypeError);
    expect([killed, fake.inFlight]).toEqual([1, undefined]);
    fake.takeSnapshot = takeSnapshot;
    expect((await run({ ctx })).outcome).toBe('done');
    expect(eventsOf(fake, 'snapshot')).toMatchObject([{ path: '/backup/new.db' }]);
    expect(fake.inFlight).toBeUndefined();
    const reported = eventsOf(fake, 'in-flight').map(({ startedAt }) => startedAt);
    expect(reported.filter((startedAt) => startedAt !== undefined)).toEqual([]);

    fake.effects.length = 0;
    const full = { ...ctx, request: { ...ctx.request, stages: stageNames } };
    expect((await run({ ctx: full })).outcome).toBe('done');
    expect(fake.effects.slice(0, 4)).toEqual([
      'journal acknowledge',
      'journal begin 1.34.5 patch',
      ...snapshot,
    ]);
  });

  it('that only verifies is no rollout, whatever it finds (F7)', async () => {
    const { ctx, fake } = fakeContext({ stages: 'preflight,postflight' });
    expect((await run({ ctx })).outcome).toBe('failed');
    expect(fake.inFlight).toBeUndefined();
    expect(fake.effects).toEqual(['journal acknowledge']);
  });

  it('that changes no node leaves the annotations of an unfinished rollout', async () => {
    const { ctx, fake } = fakeContext({ stages: 'preflight,snapshot', inFlight: {} });
    await run({ ctx });
    expect(fake.inFlight).toMatchObject({ target, snapshotPath: '/backup/new.db' });
  });

  it('without post-flight stays in flight', async () => {
    const { ctx, fake } = fakeContext({ stages: 'preflight,snapshot,master' });
    expect((await run({ ctx })).outcome).toBe('done');
    expect(fake.inFlight).toBeDefined();
    expect(effectsOn(fake, 'k8s-node1')).toEqual([]);
  });

  it('with the workers before the control plane is refused before it changes anything', async () => {
    const { ctx, fake } = fakeContext({ target: '1.35.3', kind: 'minor', stages: 'repo,workers' });
    expect(await run({ ctx })).toMatchObject({
      outcome: 'blocked',
      message: expect.stringContaining(
        'control-plane-first: the API server of k8s-master is older than 1.35.3; the stage master must bring it to 1.35.3 first',
      ),
    });
    expect(fake.effects).toEqual(['journal acknowledge']);
    expect(fake.inFlight).toBeUndefined();
  });

  it('with the workers stops as soon as a control-plane node is not at the target', async () => {
    const { ctx, fake } = fakeContext({
      stages: 'workers',
      nodes: [master({ release: target }), worker('k8s-node2'), worker('k8s-node1')],
    });
    fake.onDrain = async () => {
      fake.nodes = [...fake.nodes, master({ name: 'k8s-master2' })];
    };
    expect(await run({ ctx })).toMatchObject({
      outcome: 'blocked',
      message: expect.stringContaining('control-plane-first: k8s-master2 is at 1.34.2'),
    });
    expect([fake.node('k8s-node2').release, effectsOn(fake, 'k8s-node1')]).toEqual([target, []]);
  });

  it('with the workers is refused while a control-plane node is unfinished', async () => {
    const inProgress = { release: target, unschedulable: true, cordonedByUs: true };
    const { ctx } = fakeContext({ stages: 'workers', nodes: [master(inProgress), worker('k8s-node1')] });
    expect((await run({ ctx })).message).toContain('k8s-master needs the stage master');
  });

  it('of post-flight alone names what is not at the target', async () => {
    const { ctx } = fakeContext({
      stages: 'postflight',
      nodes: [master({ release: target }), worker('k8s-node1')],
    });
    expect(await run({ ctx })).toMatchObject({
      outcome: 'failed',
      message: 'not everything is at 1.34.5: k8s-node1 (1.34.2)',
    });
  });
});
