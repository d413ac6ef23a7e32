import { describe, expect, it } from 'vitest';
import type { PendingAlert } from '../../prometheus/alerts.ts';
import type { SettingsInput } from '../../settings/settings.ts';
import { type FakeCluster, fakeContext } from '../../testing/fake-context.ts';
import { effectsOn, eventsOf, run, target } from '../../testing/run.ts';

const settings: Partial<SettingsInput> = {
  gates: { alertWait: '300ms', alertInterval: '5ms' },
  timing: { soak: '40ms', nodeReady: '50ms' },
};

/** An alert that became pending at that time. */
const pending = (activeAt: number | undefined, change: Partial<PendingAlert> = {}): PendingAlert => ({
  name: 'ClusterPodReadyRatioDropped',
  labels: {},
  activeAt,
  holdsFor: 900_000,
  ...change,
});

/** The first worker's soak: its start, and since when its time is over; undefined outside of it. */
function soakOfFirst(fake: FakeCluster): { start: number; over: number } | undefined {
  const { soakingSince } = fake.node('k8s-node2');
  return soakingSince === undefined
    ? undefined
    : { start: soakingSince, over: Date.now() - soakingSince - 40 };
}

describe('an alert that is pending at the end of a soak (F34)', () => {
  it('is waited for if it began since the node was changed, and reported once', async () => {
    const { ctx, fake } = fakeContext({ settings });
    const cleared = { after: 0 };
    fake.pending = () => {
      const soak = soakOfFirst(fake);
      if (soak === undefined) return [];
      cleared.after = soak.over;
      return soak.over < 60 ? [pending(fake.node('k8s-node2').changedAt)] : [];
    };
    expect((await run({ ctx })).outcome).toBe('done');
    expect(cleared.after).toBeGreaterThanOrEqual(60);
    expect(eventsOf(fake, 'waiting').map(({ reasons }) => reasons)).toEqual([
      ['alerts: alert ClusterPodReadyRatioDropped is pending, and fires once it is true for 15m'],
    ]);
  });

  it('stops the rollout as soon as it fires, and the node keeps its soak', async () => {
    const { ctx, fake } = fakeContext({ settings });
    const isFiring = () => (soakOfFirst(fake)?.over ?? 0) > 60;
    fake.pending = () => (soakOfFirst(fake) && !isFiring() ? [pending(soakOfFirst(fake)?.start)] : []);
    fake.firing = async () => (isFiring() ? [pending(undefined)] : []);
    expect(await run({ ctx })).toMatchObject({
      outcome: 'blocked',
      message: 'stopped in the soak of k8s-node2:\n  - alerts: alert ClusterPodReadyRatioDropped is firing',
    });
    expect(fake.node('k8s-node2')).toMatchObject({ release: target, soakingSince: expect.any(Number) });
    expect(effectsOn(fake, 'k8s-node1')).toEqual([]);
  });

  it('blocks the rollout when it neither fires nor clears within twice gates.alertWait', async () => {
    const { ctx, fake } = fakeContext({ settings });
    fake.pending = () => (soakOfFirst(fake) ? [pending(soakOfFirst(fake)?.start)] : []);
    const started = Date.now();
    expect(await run({ ctx })).toMatchObject({
      outcome: 'blocked',
      message: expect.stringContaining('stopped in the soak of k8s-node2:\n  - alerts: alert ClusterPod'),
    });
    expect(Date.now() - started).toBeGreaterThan(600);
    expect(effectsOn(fake, 'k8s-node1')).toEqual([]);
  });

  it('that Prometheus gives no time is waited for', async () => {
    const { ctx, fake } = fakeContext({ settings });
    fake.pending = () => ((soakOfFirst(fake)?.over ?? 60) < 60 ? [pending(undefined)] : []);
    expect((await run({ ctx })).outcome).toBe('done');
    expect(eventsOf(fake, 'waiting')).toHaveLength(1);
  });

  it('counts from the drain on where a node is drained first', async () => {
    const { ctx, fake } = fakeContext({ settings: { ...settings, drain: { before: 'kubeadm' } } });
    let began = 0;
    fake.onDrain = async (node) => {
      if (node === 'k8s-node2') began = Date.now() - 1;
    };
    fake.pending = () => ((soakOfFirst(fake)?.over ?? 60) < 60 ? [pending(began)] : []);
    expect((await run({ ctx })).outcome).toBe('done');
    expect(eventsOf(fake, 'waiting')).toHaveLength(1);
  });

  const others: [what: string, alert: (fake: FakeCluster) => PendingAlert][] = [
    ['began before the node was changed', () => pending(Date.now() - 600_000)],
    ['began after the time of the soak', () => pending(Date.now() + 1)],
    [
      'is of a node that this rollout changed',
      () => {
        return pending(Date.now(), { name: 'RecentNodeReboot', labels: { node: 'k8s-node2' } });
      },
    ],
    ['is about the skew of the rollout', () => pending(Date.now(), { name: 'K8sVersionSkew' })],
  ];
  it.each(others)('is not waited for when it %s', async (_what, alert) => {
    const { ctx, fake } = fakeContext({ settings });
    fake.pending = () => ((soakOfFirst(fake)?.over ?? -1) >= 0 ? [alert(fake)] : []);
    expect((await run({ ctx })).outcome).toBe('done');
    expect(eventsOf(fake, 'waiting')).toEqual([]);
  });
});
