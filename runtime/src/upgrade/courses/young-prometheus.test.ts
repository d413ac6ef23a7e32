import { describe, expect, it } from 'vitest';
import { preflightGates } from '../../gates/index.ts';
import type { SettingsInput } from '../../settings/settings.ts';
import { type FakeCluster, fakeContext } from '../../testing/fake-context.ts';
import { effectsOn, eventsOf, run } from '../../testing/run.ts';
import { verdictsOf } from '../context.ts';

const settings: Partial<SettingsInput> = {
  gates: { alertWait: '1s', alertInterval: '5ms' },
  timing: { soak: '20ms' },
};
const rule = (name: string, holdsFor: number, evaluated = true) => ({ name, holdsFor, evaluated });
const reason =
  /alerts: Prometheus has been up for [\d.]+s, and the rule PVCStuckPending needs [\d.]+m?s?: until/;

/** Prometheus starts again now, and its slowest rule needs this long. */
function restart(fake: FakeCluster, holdsFor: number): number {
  const startedAt = Date.now();
  fake.prometheusStart = () => startedAt;
  fake.rules = [rule('KubeQuotaAlmostFull', holdsFor / 2), rule('PVCStuckPending', holdsFor)];
  return startedAt;
}

describe('a Prometheus that has been up for less than the longest `for` (F34)', () => {
  it('is waited for before a rollout, and reported once', async () => {
    const { ctx, fake } = fakeContext({ settings });
    const startedAt = restart(fake, 1_500);
    let beganAt = 0;
    const { begin } = ctx.journal;
    const journal = {
      ...ctx.journal,
      begin: (...args: Parameters<typeof begin>) => {
        beganAt = Date.now();
        return begin(...args);
      },
    };
    expect((await run({ ctx: { ...ctx, journal } })).outcome).toBe('done');
    expect(beganAt).toBeGreaterThanOrEqual(startedAt + 1_500);
    expect(eventsOf(fake, 'waiting').map(({ reasons }) => reasons)).toEqual([
      [expect.stringMatching(reason)],
    ]);
  });

  it('holds a rollout that has changed nothing when it needs longer than twice gates.alertWait', async () => {
    const { ctx, fake } = fakeContext({ settings });
    const startedAt = restart(fake, 60_000);
    expect(await run({ ctx })).toMatchObject({ outcome: 'held', message: expect.stringMatching(reason) });
    expect(Date.now() - startedAt).toBeLessThan(30_000);
    expect(fake.effects).toEqual(['journal acknowledge']);
  });

  it('is not waited for in a dry-run', async () => {
    const { ctx, fake } = fakeContext({ settings });
    restart(fake, 300);
    const dry = { ...ctx, request: { ...ctx.request, dryRun: true } };
    expect(await verdictsOf(dry, preflightGates)).toContainEqual(
      expect.objectContaining({ gate: 'alerts', open: false, outcomeWhenClosed: 'held' }),
    );
    expect(await run({ ctx: dry })).toMatchObject({ outcome: 'held' });
    expect(eventsOf(fake, 'waiting')).toEqual([]);
  });

  it('does not delay what another gate has to say', async () => {
    const { ctx, fake } = fakeContext({ settings });
    restart(fake, 300);
    fake.change('k8s-node1', { ready: false });
    const { outcome, message } = await run({ ctx });
    expect(outcome).toBe('blocked');
    expect(message).toMatch(reason);
    expect(message).toContain('node k8s-node1 is not Ready');
  });

  it('is waited for in the soak of the node whose drain moved it, before the next drain', async () => {
    const { ctx, fake } = fakeContext({ settings });
    let startedAt = Number.POSITIVE_INFINITY;
    let next = 0;
    fake.onDrain = async (node) => {
      if (node === 'k8s-node2') startedAt = restart(fake, 1_500);
    };
    fake.onPrepare = async (node) => {
      if (node === 'k8s-node1') next = Date.now();
    };
    expect((await run({ ctx })).outcome).toBe('done');
    expect(next).toBeGreaterThanOrEqual(startedAt + 1_500);
    expect(eventsOf(fake, 'waiting').length).toBeLessThanOrEqual(1);
  });

  it('is waited for before a drain for longer than gates.alertWait', async () => {
    const { ctx, fake } = fakeContext({ settings });
    let drained = 0;
    let startedAt = 0;
    fake.onPrepare = async (node) => {
      if (node === 'k8s-node2') startedAt = restart(fake, 1_300);
    };
    fake.onDrain = async (node) => {
      if (node === 'k8s-node2') drained = Date.now();
    };
    expect((await run({ ctx })).outcome).toBe('done');
    expect(drained).toBeGreaterThanOrEqual(startedAt + 1_300);
  });

  it('blocks a rollout in the middle when it stays too young', async () => {
    const short = { ...settings, gates: { alertWait: '100ms', alertInterval: '5ms' } };
    const { ctx, fake } = fakeContext({ settings: short });
    fake.onPrepare = async (node) => {
      if (node === 'k8s-node2') restart(fake, 60_000);
    };
    expect(await run({ ctx })).toMatchObject({
      outcome: 'blocked',
      message: expect.stringMatching(
        /^stopped before the drain of k8s-node2:\n {2}- alerts: Prometheus has been/,
      ),
    });
    expect(effectsOn(fake, 'k8s-node2')).not.toContain('k8s-node2 drain');
  });

  it('does not hide an alert that fires in a soak: it stops the rollout at once', async () => {
    const { ctx, fake } = fakeContext({
      settings: { ...settings, gates: { alertWait: '1m', alertInterval: '5ms' } },
    });
    fake.onDrain = async (node) => {
      if (node === 'k8s-node2') restart(fake, 60_000);
    };
    fake.firing = async () =>
      fake.node('k8s-node2').soakingSince ? [{ name: 'NodeDiskPressure', labels: {} }] : [];
    const started = Date.now();
    const { outcome, message } = await run({ ctx });
    expect(outcome).toBe('blocked');
    expect(message).toContain('alert NodeDiskPressure is firing');
    expect(Date.now() - started).toBeLessThan(30_000);
  });

  it('is old enough for rules whose alerts the rollout causes itself', async () => {
    const { ctx, fake } = fakeContext({ settings, inFlight: {} });
    restart(fake, 0);
    fake.rules = [rule('K8sVersionSkew', 1_800_000), rule('RecentNodeReboot', 0)];
    expect((await run({ ctx })).outcome).toBe('done');
    expect(eventsOf(fake, 'waiting')).toEqual([]);
  });

  it('cannot be noticed where the server does not say when it started: noted once', async () => {
    const { ctx, fake } = fakeContext({ settings });
    fake.prometheusStart = () => undefined;
    expect((await run({ ctx })).outcome).toBe('done');
    const notices = eventsOf(fake, 'notice').filter(({ text }) => text.includes('does not say when'));
    expect(notices).toHaveLength(1);
  });

  it('may not have evaluated a rule yet; an older one that does not closes the gate', async () => {
    const { ctx, fake } = fakeContext({ settings });
    restart(fake, 0);
    fake.rules = [rule('PVCStuckPending', 0, false)];
    expect(await run({ ctx })).toMatchObject({ outcome: 'held', message: expect.stringMatching(reason) });
    fake.prometheusStart = () => 0;
    expect(await run({ ctx })).toMatchObject({
      outcome: 'blocked',
      message: expect.stringContaining(
        'alerts: unknown, so closed: Prometheus does not evaluate rules: PVCStuckPending',
      ),
    });
  });
});
