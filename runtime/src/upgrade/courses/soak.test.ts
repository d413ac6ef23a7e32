import type { V1Pod } from '@kubernetes/client-node';
import { describe, expect, it } from 'vitest';
import type { PendingAlert } from '../../prometheus/alerts.ts';
import type { SettingsInput } from '../../settings/settings.ts';
import { pod } from '../../testing/cluster.ts';
import { type FakeCluster, fakeContext, master } from '../../testing/fake-context.ts';
import { effectsOn, eventsOf, run, target, upgraded, worker } from '../../testing/run.ts';

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

/** Whether it is asked in the first worker's soak, and at most three times after its time. */
function firstChecks(fake: FakeCluster): () => boolean {
  let left = 3;
  return () => {
    const soak = soakOfFirst(fake);
    if (soak !== undefined && soak.over >= 0) left -= 1;
    return soak !== undefined && left >= 0;
  };
}

describe('an alert that is pending at the end of a soak (F34)', () => {
  it('is waited for if it began since the node was changed, and reported once', async () => {
    const { ctx, fake } = fakeContext({ settings });
    const isChecked = firstChecks(fake);
    fake.pending = () => (isChecked() ? [pending(fake.node('k8s-node2').changedAt)] : []);
    expect((await run({ ctx })).outcome).toBe('done');
    expect(eventsOf(fake, 'waiting').map(({ reasons }) => reasons)).toEqual([
      ['alerts: alert ClusterPodReadyRatioDropped is pending, and fires once it is true for 15m'],
    ]);
  });

  it('stops the rollout as soon as it fires, and the node keeps its soak', async () => {
    const { ctx, fake } = fakeContext({ settings });
    const isChecked = firstChecks(fake);
    let isPending = false;
    fake.firing = async () => {
      isPending = isChecked();
      return soakOfFirst(fake) && !isPending ? [pending(undefined)] : [];
    };
    fake.pending = () => (isPending ? [pending(soakOfFirst(fake)?.start)] : []);
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
    const isChecked = firstChecks(fake);
    fake.pending = () => (isChecked() ? [pending(undefined)] : []);
    expect((await run({ ctx })).outcome).toBe('done');
    expect(eventsOf(fake, 'waiting')).toHaveLength(1);
  });

  it('counts from the drain on where a node is drained first', async () => {
    const { ctx, fake } = fakeContext({ settings: { ...settings, drain: { before: 'kubeadm' } } });
    let began = 0;
    fake.onDrain = async (node) => {
      if (node === 'k8s-node2') began = Date.now() - 1;
    };
    const isChecked = firstChecks(fake);
    fake.pending = () => (isChecked() ? [pending(began)] : []);
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

describe('the soak of a control-plane node (F34)', () => {
  const soaking: Partial<SettingsInput> = { ...settings, timing: { soak: '0s', controlPlaneSoak: '40ms' } };

  it('is over before the next node is prepared', async () => {
    const { ctx, fake } = fakeContext({ settings: soaking });
    expect((await run({ ctx })).outcome).toBe('done');
    const writes = fake.effects.filter((effect) => /^k8s-/.test(effect) && !effect.includes('snapshot'));
    expect(writes.slice(0, 10)).toEqual([
      ...upgraded('k8s-master', 'master', 'soak'),
      'k8s-node2 prepare --role worker --release 1.34.5',
    ]);
    const phases = eventsOf(fake, 'node').filter(({ node }) => node === 'k8s-master');
    expect(phases.slice(-2).map(({ phase }) => phase)).toEqual(['soaking', 'done']);
    expect(phases.at(-1)?.seconds).toBeGreaterThanOrEqual(0.04);
  });

  it('is stopped by an alert before the next of several control-plane nodes', async () => {
    const nodes = [master(), master({ name: 'k8s-master2' }), worker('k8s-node1')];
    const { ctx, fake } = fakeContext({ nodes, settings: soaking });
    const alert = { name: 'NodeDiskPressure', labels: {} };
    fake.firing = async () => (fake.node('k8s-master').soakingSince ? [alert] : []);
    expect(await run({ ctx })).toMatchObject({
      outcome: 'blocked',
      message: 'stopped in the soak of k8s-master:\n  - alerts: alert NodeDiskPressure is firing',
    });
    expect(fake.node('k8s-master')).toMatchObject({ release: target, soakingSince: expect.any(Number) });
    expect(fake.effects.filter((effect) => /k8s-(master2|node1) (cordon|drain)/.test(effect))).toEqual([]);
    fake.firing = async () => [];
    expect((await run({ ctx })).outcome).toBe('done');
    expect(fake.node('k8s-master').soakingSince).toBeUndefined();
  });

  it('is continued by the next process, also when nothing else is left of the control plane', async () => {
    const done = { release: target, changedAt: Date.now() - 30_000 };
    const soakingSince = Date.now() - 60_000;
    const nodes = [master({ ...done, soakingSince }), worker('k8s-node1')];
    const long = { ...settings, timing: { soak: '0s', controlPlaneSoak: '60500ms' } };
    const { ctx, fake } = fakeContext({ inFlight: {}, nodes, settings: long });
    const ended = soakingSince + 60_500;
    let prepared = 0;
    fake.onPrepare = async () => {
      prepared = Date.now();
    };
    expect((await run({ ctx })).outcome).toBe('done');
    expect(prepared).toBeGreaterThanOrEqual(ended);
    expect(Date.now()).toBeLessThan(ended + 30_000);
    expect(effectsOn(fake, 'k8s-master')[0]).toBe('k8s-master annotate soaking-');
  });

  it('of 0s is none', async () => {
    const { ctx, fake } = fakeContext({ settings: { timing: { soak: '0s', controlPlaneSoak: '0s' } } });
    expect((await run({ ctx })).outcome).toBe('done');
    expect(effectsOn(fake, 'k8s-master')).toContain('k8s-master uncordon cordoned- soaking-');
    const phases = eventsOf(fake, 'node').filter(({ node }) => node === 'k8s-master');
    expect(phases.map(({ phase }) => phase)).not.toContain('soaking');
  });
});

describe('pods on the node that are not Ready at the end of its soak (F34)', () => {
  const unready = (name: string, node = 'k8s-node2', change: Partial<V1Pod> = {}): V1Pod =>
    pod(name, {
      spec: { nodeName: node, containers: [] },
      status: { phase: 'Pending', conditions: [{ type: 'Ready', status: 'False' }] },
      ...change,
    });
  /** The gate `pod-ratio` would close, too. */
  const lenient = { ...settings, gates: { ...settings.gates, minimumPodReadyRatio: 0 } };
  /** Schedules pods onto the first worker when it is uncordoned. */
  const scheduled = (fake: FakeCluster, pods: () => readonly V1Pod[]) => {
    let others = fake.pods;
    Object.defineProperty(fake, 'pods', {
      get: () => [...others, ...(soakOfFirst(fake) === undefined ? [] : pods())],
      // An upgrade changes the images of the control plane's pods.
      set: (all: readonly V1Pod[]) => {
        others = all.filter(({ metadata }) => metadata?.namespace === 'kube-system');
      },
    });
  };

  it('are waited for, and reported once', async () => {
    const { ctx, fake } = fakeContext({
      settings: { ...lenient, timing: { soak: '40ms', nodeReady: '10s' } },
    });
    const isChecked = firstChecks(fake);
    scheduled(fake, () => (isChecked() ? [unready('web')] : []));
    expect((await run({ ctx })).outcome).toBe('done');
    expect(eventsOf(fake, 'waiting').map(({ reasons }) => reasons)).toEqual([
      [expect.stringMatching(/^soaked-pods: not Ready on k8s-node2, .*: apps\/web \(Pending\); see kubectl/)],
    ]);
  });

  it('stop the rollout after timing.nodeReady, five of them by name', async () => {
    const { ctx, fake } = fakeContext({ settings: lenient });
    scheduled(fake, () => [1, 2, 3, 4, 5, 6, 7].map((i) => unready(`web-${i}`)));
    expect(await run({ ctx })).toMatchObject({
      outcome: 'blocked',
      message: expect.stringMatching(
        /^stopped in the soak of k8s-node2:\n.* apps\/web-5 \(Pending\) and 2 more; see/,
      ),
    });
    expect(effectsOn(fake, 'k8s-node1')).toEqual([]);
    expect(fake.node('k8s-node2').soakingSince).toBeDefined();
  });

  it('are not waited for if their workload was not Ready before the rollout', async () => {
    const { ctx, fake } = fakeContext({ settings: lenient });
    fake.pods = [...fake.pods, unready('web-before', 'k8s-node9')];
    scheduled(fake, () => [unready('web-after')]);
    expect((await run({ ctx })).outcome).toBe('done');
    expect(eventsOf(fake, 'waiting')).toEqual([]);
  });

  const ready = { phase: 'Running', conditions: [{ type: 'Ready', status: 'True' }] };
  const others: [what: string, pods: () => V1Pod[]][] = [
    ['are Ready', () => [unready('web', 'k8s-node2', { status: ready })]],
    ['run elsewhere', () => [unready('web', 'k8s-node1')]],
    [
      'are not Ready on a node that is not changed yet, either',
      () => [unready('web'), unready('b', 'k8s-node1')],
    ],
    [
      'were created after the time of the soak',
      () => {
        const metadata = { name: 'web', namespace: 'apps', creationTimestamp: new Date(Date.now() + 1_000) };
        return [{ ...unready('web'), metadata }];
      },
    ],
  ];
  it.each(others)('are not waited for if they %s', async (_what, pods) => {
    const { ctx, fake } = fakeContext({ settings: lenient });
    scheduled(fake, pods);
    expect((await run({ ctx })).outcome).toBe('done');
    expect(eventsOf(fake, 'waiting')).toEqual([]);
  });

  it('are named at post-flight, where enough others are Ready', async () => {
    const { ctx, fake } = fakeContext({ settings: lenient });
    const own = { metadata: { name: 'own', namespace: 'apps', ownerReferences: [] } };
    fake.pods = [...fake.pods, { ...unready('own', 'k8s-node9'), ...own }];
    fake.onDrain = async (node) => {
      if (node === 'k8s-node1') fake.pods = [...fake.pods, unready('web', 'k8s-node9')];
    };
    expect((await run({ ctx })).outcome).toBe('done');
    const texts = eventsOf(fake, 'notice').map(({ text }) => text);
    expect(texts).toEqual(['pod-ratio: Ready before this rollout and not now: apps/web (Pending)']);
  });
});
