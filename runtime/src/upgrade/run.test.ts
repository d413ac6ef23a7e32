import { ApiException } from '@kubernetes/client-node';
import { describe, expect, it } from 'vitest';
import { ApiError } from '../cluster/api-error.ts';
import { LeaseHeldError } from '../cluster/lease.ts';
import { UpgradeError } from '../errors.ts';
import { parseRelease } from '../release.ts';
import { slackText } from '../report/slack.ts';
import { clusterNode } from '../testing/cluster.ts';
import { fakeContext, master } from '../testing/fake-context.ts';
import { rejection } from '../testing/files.ts';
import {
  bothSteps,
  cleared,
  effectsOn,
  eventsOf,
  inOne,
  run,
  snapshot,
  target,
  upgraded,
  worker,
} from '../testing/run.ts';
import type { Context } from './context.ts';
import { runUpgrade } from './run.ts';

describe('a fresh run', () => {
  it('takes a snapshot, upgrades the control plane, then the workers one by one, and leaves no annotation', async () => {
    const { ctx, fake } = fakeContext();
    expect(await run({ ctx })).toMatchObject({
      outcome: 'done',
      message: expect.stringContaining('upgrade finished for 1.34.5'),
    });
    expect(fake.effects).toEqual([
      'journal acknowledge',
      'journal begin 1.34.5 patch',
      ...snapshot,
      ...upgraded('k8s-master', 'master', 'done'),
      ...upgraded('k8s-node2', 'worker', 'soak'),
      ...upgraded('k8s-node1', 'worker', 'soak'),
      ...cleared('k8s-master', 'k8s-node2', 'k8s-node1'),
    ]);
    expect(fake.nodes.map((node) => [node.release, node.unschedulable, node.changedAt])).toEqual(
      fake.nodes.map(() => [target, false, undefined]),
    );
  });

  it('reports the rollout in flight from its start, with its snapshot, until its end', async () => {
    const { ctx, fake } = fakeContext();
    let started: number | undefined;
    fake.onScript = async () => {
      started ??= fake.inFlight?.startedAt;
    };
    await run({ ctx });
    expect(
      eventsOf(fake, 'in-flight').map(({ startedAt, snapshotTaken }) => [startedAt, snapshotTaken]),
    ).toEqual([
      [undefined, false],
      [started, false],
      [started, true],
      [undefined, false],
    ]);
    expect(eventsOf(fake, 'run-ended').map((event) => event.outcome)).toEqual(['done']);
  });

  it('upgrades the first control-plane node with upgrade apply, the others with upgrade node', async () => {
    const second = clusterNode('k8s-master2', { controlPlane: true });
    const { ctx, fake } = fakeContext({ nodes: [master(), second, worker('k8s-node1')] });
    expect((await run({ ctx })).outcome).toBe('done');
    expect(fake.effects.filter((effect) => effect.includes('update_k8s'))).toEqual([
      ...bothSteps('k8s-master', 'master'),
      ...bothSteps('k8s-master2', 'worker'),
      ...bothSteps('k8s-node1', 'worker'),
    ]);
  });

  it('upgrades a node that joins during the run (F26)', async () => {
    const { ctx, fake } = fakeContext();
    fake.onDrain = async (node) => {
      if (node === 'k8s-node1') fake.nodes = [...fake.nodes, worker('k8s-node9')];
    };
    expect((await run({ ctx })).outcome).toBe('done');
    expect(effectsOn(fake, 'k8s-node9').slice(0, 7)).toEqual(
      upgraded('k8s-node9', 'worker', 'soak').slice(0, 7),
    );
  });

  it('has nothing to do, and writes nothing, when every node is at the target', async () => {
    const nodes = [master({ release: target }), worker('k8s-node1', { release: target })];
    const { ctx, fake } = fakeContext({ nodes });
    expect(await run({ ctx })).toMatchObject({ outcome: 'done', message: 'every node is at 1.34.5 already' });
    expect(fake.effects).toEqual([]);
    expect(fake.events.filter((event) => event.type === 'run-ended' && slackText(event))).toHaveLength(1);
  });

  it('that was interrupted after reporting its end and clearing the annotations does not notify Slack again', async () => {
    const nodes = [master({ release: target }), worker('k8s-node1', { release: target })];
    const { ctx, fake } = fakeContext({ nodes });
    expect((await runUpgrade(ctx, true)).outcome).toBe('done');
    const ends = fake.events.filter((event) => event.type === 'run-ended');
    expect(ends).toMatchObject([{ outcome: 'done', repeated: true }]);
    expect(ends.map(slackText)).toEqual([undefined]);
    // With a rollout still in flight, it does.
    const again = fakeContext({ nodes, inFlight: {} });
    await runUpgrade(again.ctx, true);
    expect(again.fake.events.filter((event) => event.type === 'run-ended').map(slackText)).toEqual([
      expect.stringContaining('done: upgrade finished'),
    ]);
  });

  it('passes the phases to skip to kubeadm', async () => {
    const settings = {
      kubeadm: { skipPhases: ['addon/coredns'], ignorePreflightErrors: ['A', 'B'] },
      timing: { soak: '0s' },
    };
    const { ctx, fake } = fakeContext({ settings });
    await run({ ctx });
    expect(fake.effects).toContain(
      'k8s-master update_k8s --role master --release 1.34.5 --skip-phases addon/coredns --ignore-preflight-errors A,B --steps kubeadm --planned',
    );
  });
});

describe('a resumed run (F5)', () => {
  const done = { release: target, changedAt: Date.now() - 30_000 };

  it('resumes at the unfinished node, and repeats nothing', async () => {
    const { ctx, fake } = fakeContext({
      inFlight: { snapshotPath: '/backup/old.db' },
      nodes: [
        master(done),
        worker('k8s-node3'),
        worker('k8s-node2', done),
        worker('k8s-node1', {
          unschedulable: true,
          cordonedByUs: true,
          changedAt: Date.now() - 30_000,
          ready: false,
        }),
      ],
    });
    fake.onScript = async (node) => fake.change(node, { ready: true });
    expect((await run({ ctx })).outcome).toBe('done');
    expect(fake.effects).toEqual([
      'journal acknowledge',
      'k8s-node1 update_k8s ended',
      'k8s-node1 drain',
      inOne('k8s-node1', 'worker'),
      'k8s-node1 uncordon cordoned- soaking',
      'k8s-node1 annotate soaking-',
      ...upgraded('k8s-node3', 'worker', 'soak'),
      ...cleared('k8s-master', 'k8s-node3', 'k8s-node2', 'k8s-node1'),
    ]);
    expect(eventsOf(fake, 'run-started')[0]?.resumed).toBe(true);
  });

  it('finishes a node whose kubelet is at the target but whose script was interrupted', async () => {
    const { ctx, fake } = fakeContext({
      inFlight: {},
      nodes: [master({ ...done, unschedulable: true, cordonedByUs: true }), worker('k8s-node1', done)],
    });
    await run({ ctx });
    expect(effectsOn(fake, 'k8s-master').slice(0, 4)).toEqual([
      'k8s-master update_k8s ended',
      'k8s-master drain',
      inOne('k8s-master', 'master'),
      'k8s-master uncordon cordoned- soaking-',
    ]);
  });

  it('waits for the script on a worker before kubeadm starts on a control-plane node that has joined', async () => {
    const started = { unschedulable: true, cordonedByUs: true, changedAt: Date.now() - 30_000 };
    const { ctx, fake } = fakeContext({
      inFlight: {},
      nodes: [master(done), master({ name: 'k8s-master2' }), worker('k8s-node1', started)],
    });
    expect((await run({ ctx })).outcome).toBe('done');
    expect(fake.effects.filter((effect) => effect.includes('update_k8s'))).toEqual([
      'k8s-node1 update_k8s ended',
      ...bothSteps('k8s-master2', 'worker'),
      inOne('k8s-node1', 'worker'),
    ]);
  });

  it.each([
    ['master', 'k8s-node1 needs the stage workers', [master(), worker('k8s-node1', { unfinished: true })]],
    [
      'workers',
      'k8s-master needs the stage master',
      [master({ release: target, unfinished: true }), worker('k8s-node1')],
    ],
  ])(
    'of the stage %s alone is refused while a node of another stage is in progress',
    async (stages, reason, nodes) => {
      const { ctx, fake } = fakeContext({ inFlight: {}, stages, nodes });
      const result = await run({ ctx });
      expect(result).toMatchObject({ outcome: 'blocked', message: expect.stringContaining(reason) });
      expect(fake.effects).toEqual(['journal acknowledge']);
    },
  );

  it('only clears its annotations when everything else is done', async () => {
    const nodes = [master(done), worker('k8s-node2', { release: target }), worker('k8s-node1', done)];
    const { ctx, fake } = fakeContext({ inFlight: {}, nodes });
    expect((await run({ ctx })).outcome).toBe('done');
    expect(fake.effects).toEqual(['journal acknowledge', ...cleared('k8s-master', 'k8s-node1')]);
  });

  it('waits for the rest of a soak without changing the node', async () => {
    const soaking = { ...done, soakingSince: Date.now() - 60_000 };
    const { ctx, fake } = fakeContext({
      inFlight: {},
      nodes: [master(done), worker('k8s-node2', soaking), worker('k8s-node1', done)],
      settings: { timing: { soak: '1m' } },
    });
    const started = performance.now();
    expect((await run({ ctx })).outcome).toBe('done');
    expect(performance.now() - started).toBeLessThan(2_000);
    expect(effectsOn(fake, 'k8s-node2')).toEqual([
      'k8s-node2 annotate soaking-',
      'k8s-node2 annotate touched- daemon-sets-',
    ]);
  });

  const before = parseRelease('t', '1.34.4');
  const whole = { release: before, changedAt: Date.now() - 30_000 };

  it.each([
    ['before anything was changed', undefined, '1.34.2'],
    [
      'from a cluster whose nodes all have one release',
      [master(whole), worker('k8s-node1', whole)],
      '1.34.4',
    ],
  ])('to another target %s is another rollout, with its own start and snapshot', async (_, nodes, server) => {
    const { ctx, fake } = fakeContext({
      inFlight: { target: before, snapshotPath: '/backup/old.db' },
      ...(nodes && { nodes }),
      server,
    });
    await run({ ctx });
    expect(fake.effects.slice(0, 4)).toEqual([
      'journal acknowledge',
      'journal begin 1.34.5 patch',
      ...snapshot,
    ]);
  });
});

describe('F47: what an earlier rollout left', () => {
  it('a rollout that has only cordoned a node stays, so that a run to another target knows its cordon', async () => {
    const cordoned = worker('k8s-node1', { unschedulable: true, cordonedByUs: true });
    const { ctx, fake } = fakeContext({
      nodes: [master(), cordoned],
      inFlight: { target: parseRelease('t', '1.34.4') },
    });
    const started = fake.inFlight?.started;
    let during: string | undefined;
    fake.onDrain = async () => {
      during = fake.inFlight?.started;
    };
    expect((await run({ ctx })).outcome).toBe('done');
    expect(during).toBe(started);
    expect(fake.node('k8s-node1').unschedulable).toBe(false);
  });

  it.each([
    ['a rollout that starts', undefined],
    ['one that resumes', {}],
  ])('its cordon stays, and preflight of %s says whose it may be and what to do', async (_what, inFlight) => {
    const key = 'viktorbarzin.me/k8s-upgrade-cordoned';
    const left = { unschedulable: true, cordonedEarlier: true, stale: [key] };
    const nodes = [master(), worker('k8s-node1', left)];
    const { ctx, fake } = fakeContext({ nodes, ...(inFlight && { inFlight }) });
    expect((await run({ ctx })).outcome).toBe('done');
    expect(eventsOf(fake, 'notice').map(({ text }) => text)).toContainEqual(
      'nodes: node k8s-node1 was cordoned by an earlier rollout or, after it, by a person, and stays cordoned: kubectl uncordon k8s-node1 when it is fit',
    );
    expect(effectsOn(fake, 'k8s-node1').filter((effect) => effect.includes('cordon '))).toEqual([]);
    expect(fake.node('k8s-node1')).toMatchObject({ unschedulable: true, stale: [] });
  });
});

describe('the end of a rollout', () => {
  it('is reported before the annotations are cleared, so that a crash in between loses nothing', async () => {
    const { ctx, fake } = fakeContext();
    ctx.report.add({
      name: 'order',
      handle: (event) => void (event.type === 'run-ended' && fake.effects.push('reported')),
    });
    await run({ ctx });
    expect(fake.effects.slice(-5)).toEqual(['reported', ...cleared('k8s-master', 'k8s-node2', 'k8s-node1')]);
  });

  const atTarget = { release: target, changedAt: Date.now() - 30_000 };
  // The soak of the control plane is over, and its annotation is what remains of it.
  const done = () => [
    master({ ...atTarget, soakingSince: Date.now() - 60_000 }),
    worker('k8s-node2', atTarget),
    worker('k8s-node1', atTarget),
  ];

  /** Passes each write from post-flight on to `write`, numbered from 1. */
  function withWrites(ctx: Context, write: (number: number, effect: () => Promise<void>) => Promise<void>) {
    const { patchNode } = ctx.writer;
    const { clear } = ctx.journal;
    let count = 0;
    const next = (effect: () => Promise<void>) => {
      count += 1;
      return write(count, effect);
    };
    const writer: Context['writer'] = {
      ...ctx.writer,
      patchNode: (...args) => next(() => patchNode(...args)),
    };
    return { ...ctx, writer, journal: { ...ctx.journal, clear: () => next(clear) } };
  }

  const itsWrites = ['k8s-master annotate soaking-', ...cleared('k8s-master', 'k8s-node2', 'k8s-node1')];

  it.each(itsWrites.flatMap((what, i) => ['before', 'after'].map((when) => [when, what, i + 1] as const)))(
    'is reached by the next process when one is killed %s “%s”, despite the alerts that the rollout causes (F5, F8)',
    async (when, what, number) => {
      const { ctx, fake } = fakeContext({ inFlight: {}, nodes: done() });
      const names = fake.nodes.map(({ name }) => name);
      fake.firing = async () => names.map((node) => ({ name: 'RecentNodeReboot', labels: { node } }));
      const killed = withWrites(ctx, async (count, effect) => {
        if (count < number || when === 'after') await effect();
        if (count === number) throw new TypeError('killed');
      });
      expect(await rejection(run({ ctx: killed }))).toBeInstanceOf(TypeError);
      expect(fake.effects.includes(what)).toBe(when === 'after');
      expect((await runUpgrade(ctx, true)).outcome).toBe('done');
      expect(fake.inFlight).toBeUndefined();
      expect(fake.nodes.map(({ changedAt, soakingSince }) => [changedAt, soakingSince])).toEqual(
        names.map(() => [undefined, undefined]),
      );
    },
  );

  it('does not count what an earlier rollout left on a node as its own', async () => {
    const left = { changedAt: Date.now() - 3_600_000 };
    const { ctx, fake } = fakeContext({ nodes: [master(), worker('k8s-node1', left)] });
    fake.firing = async () =>
      fake.inFlight ? [{ name: 'RecentNodeReboot', labels: { node: 'k8s-node1' } }] : [];
    expect(await run({ ctx })).toMatchObject({
      outcome: 'blocked',
      message: expect.stringContaining('alert RecentNodeReboot is firing (node=k8s-node1)'),
    });
    fake.firing = async () => [];
    expect((await run({ ctx })).outcome).toBe('done');
    expect(effectsOn(fake, 'k8s-node1')).toContain('k8s-node1 annotate touched daemon-sets unfinished');
    expect(fake.node('k8s-node1').changedAt).toBeUndefined();
  });

  it('does not fail when a node leaves before its annotation is cleared', async () => {
    const { ctx, fake } = fakeContext({ inFlight: {}, nodes: done() });
    const { patchNode } = ctx.writer;
    const writer: Context['writer'] = {
      ...ctx.writer,
      async patchNode(name, ...rest) {
        if (name === 'k8s-node1') throw new ApiError('patch node', new ApiException(404, 'gone', {}, {}));
        return patchNode(name, ...rest);
      },
    };
    expect((await run({ ctx: { ...ctx, writer } })).outcome).toBe('done');
    expect(fake.inFlight).toBeUndefined();
  });

  it('is a failure when the annotations cannot be cleared', async () => {
    const { ctx, fake } = fakeContext();
    const clear = async () => {
      throw new UpgradeError('failed', 'no answer from the API server');
    };
    const result = await run({ ctx: { ...ctx, journal: { ...ctx.journal, clear } } });
    expect(result).toMatchObject({ outcome: 'failed', message: 'no answer from the API server' });
    expect(eventsOf(fake, 'run-ended').map((event) => event.outcome)).toEqual(['done', 'failed']);
    expect(eventsOf(fake, 'in-flight').at(-1)?.startedAt).toBeDefined();
  });

  it('is not replaced by a snapshot for another target', async () => {
    const inFlight = { target: parseRelease('t', '1.34.4') };
    const { ctx, fake } = fakeContext({ inFlight, stages: 'preflight,snapshot' });
    expect(await run({ ctx })).toMatchObject({
      outcome: 'blocked',
      message: expect.stringContaining('to 1.34.4; this run is for 1.34.5'),
    });
    expect(fake.inFlight?.target).toBe('1.34.4');
  });

  it('and its start are not reported as in flight by a dry-run', async () => {
    const { ctx, fake } = fakeContext();
    const request = { ...ctx.request, dryRun: true };
    expect((await run({ ctx: { ...ctx, request } })).outcome).toBe('done');
    expect(eventsOf(fake, 'in-flight')).toEqual([]);
  });

  it('is reported to the metrics by the next process, when the one before was killed after clearing', async () => {
    const { ctx, fake } = fakeContext({ nodes: [master({ release: target })] });
    await run({ ctx });
    expect(eventsOf(fake, 'in-flight')).toEqual([
      { type: 'in-flight', startedAt: undefined, snapshotTaken: false },
    ]);
  });
});

describe('what ends a run without an outcome', () => {
  it('is a lost lease: nothing more is reported', async () => {
    const { ctx, fake } = fakeContext();
    fake.onDrain = async () => {
      throw new LeaseHeldError('stopped', {
        identity: 'other/b',
        since: 'now',
        expires: 'soon',
        expired: false,
      });
    };
    expect(await rejection(runUpgrade(ctx))).toBeInstanceOf(LeaseHeldError);
    await ctx.report.flush();
    expect(eventsOf(fake, 'run-ended')).toEqual([]);
  });

  it('is a bug', async () => {
    const { ctx, fake } = fakeContext();
    fake.onDrain = async () => {
      throw new TypeError('undefined is not a function');
    };
    expect(await rejection(runUpgrade(ctx))).toBeInstanceOf(TypeError);
    expect(eventsOf(fake, 'run-ended')).toEqual([]);
  });

  it('is bad input, with nothing changed', async () => {
    const { ctx, fake } = fakeContext({ target: '1.36.0', kind: 'minor' });
    expect(await rejection(runUpgrade(ctx))).toMatchObject({ code: 'badInput' });
    expect(fake.effects).toEqual([]);
  });
});
