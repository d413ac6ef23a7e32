import { describe, expect, it, test } from 'vitest';
import { ScriptError } from '../../ssh/node-shell.ts';
import { type FakeCluster, fakeContext, master } from '../../testing/fake-context.ts';
import { run, target, worker } from '../../testing/run.ts';

describe('the snapshot', () => {
  const old = (seconds: number) =>
    `/backup/k8s-upgrade-pre-1.34.5-${Math.floor(Date.now() / 1000) - seconds}.db`;
  const taken = (fake: FakeCluster) => fake.effects.includes('k8s-master snapshot before 1.34.5');

  test.each([
    ['no snapshot yet', {}, true, true],
    ['a snapshot of this rollout that still verifies', { snapshotPath: old(60) }, true, false],
    ['a snapshot that no longer verifies', { snapshotPath: old(60) }, false, true],
    ['a snapshot that is too old', { snapshotPath: old(2 * 86_400) }, true, true],
  ])('with %s', async (_what, inFlight, verifies, takes) => {
    const { ctx, fake } = fakeContext({ inFlight });
    fake.verifySnapshot = async () => verifies;
    expect((await run({ ctx })).outcome).toBe('done');
    expect(taken(fake)).toBe(takes);
  });

  it.each(['k8s-master', 'k8s-node1'])(
    'from before the first change is kept, however old, once %s was changed',
    async (name) => {
      const { ctx, fake } = fakeContext({
        inFlight: { snapshotPath: old(2 * 86_400) },
        nodes: [master(), worker('k8s-node1')],
        server: '1.34.5',
      });
      fake.change(name, { changedAt: Date.now() - 1_000 });
      expect((await run({ ctx })).outcome).toBe('done');
      expect(taken(fake)).toBe(false);
    },
  );

  it('is not taken once the control plane is upgraded', async () => {
    const { ctx, fake } = fakeContext({
      inFlight: {},
      nodes: [master({ release: target }), worker('k8s-node1')],
    });
    await run({ ctx });
    expect(taken(fake)).toBe(false);
  });

  it('that fails ends the run before anything changes', async () => {
    const { ctx, fake } = fakeContext();
    fake.takeSnapshot = async () => {
      throw new ScriptError('k8s-master', 'snapshot_etcd', 1, ['error: no space']);
    };
    expect(await run({ ctx })).toMatchObject({
      outcome: 'failed',
      message: expect.stringContaining('no space'),
    });
    expect(fake.effects.slice(2)).toEqual(['k8s-master snapshot before 1.34.5']);
    expect(fake.inFlight?.snapshotPath).toBeUndefined();
  });
});
