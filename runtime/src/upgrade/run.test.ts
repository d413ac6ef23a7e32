import { ApiException } from '@kubernetes/client-node';
import { describe, expect, it, test } from 'vitest';
import { ApiError } from '../cluster/api-error.ts';
import { LeaseHeldError } from '../cluster/lease.ts';
import { BlockedError, InputError, UpgradeError } from '../errors.ts';
import { ScriptError } from '../nodes/node-shell.ts';
import { ConnectionError } from '../nodes/ssh.ts';
import { parseRelease } from '../release.ts';
import { slackText } from '../report/slack.ts';
import { clusterNode } from '../testing/cluster.ts';
import { type FakeCluster, fakeContext, master } from '../testing/fake-context.ts';
import { rejection } from '../testing/files.ts';
import type { Context } from './context.ts';
import { runUpgrade } from './run.ts';

const target = parseRelease('test', '1.34.5');
const worker = clusterNode;

/** Runs to the end, with everything told. */
async function run({ ctx }: { ctx: Context }) {
  const result = await runUpgrade(ctx);
  await ctx.report.flush();
  return result;
}

/** What is done to a node from its drain to its way back. */
const upgraded = (node: string, role: 'master' | 'worker', after: string) => [
  `${node} cordon cordoned`,
  `${node} drain`,
  `${node} mark touched`,
  `${node} update_k8s --role ${role} --release 1.34.5`,
  ...(after === 'soak'
    ? [`${node} uncordon cordoned- soaking`, `${node} mark soaking-`]
    : [`${node} uncordon cordoned- soaking-`]),
];
const snapshot = ['k8s-master snapshot before 1.34.5', 'journal snapshot /backup/new.db'];
const cleared = (...nodes: string[]) => [
  ...nodes.map((node) => `${node} mark touched- soaking-`),
  'journal clear',
];
const of = (fake: FakeCluster, node: string) =>
  fake.effects.filter((effect) => effect.startsWith(`${node} `));
const toldOf = <T extends FakeCluster['events'][number]['type']>(fake: FakeCluster, type: T) =>
  fake.events.filter((event) => event.type === type) as Extract<FakeCluster['events'][number], { type: T }>[];

describe('a fresh run', () => {
  it('takes a snapshot, then the control plane, then the workers one by one, then leaves no mark', async () => {
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
    expect(fake.nodes.map((node) => [node.release, node.unschedulable, node.touchedAt])).toEqual(
      fake.nodes.map(() => [target, false, undefined]),
    );
  });

  it('tells of the rollout in flight from its beginning, with its snapshot, until its end', async () => {
    const { ctx, fake } = fakeContext();
    let begun: number | undefined;
    fake.onScript = async () => {
      begun ??= fake.inFlight?.startedAt;
    };
    await run({ ctx });
    expect(
      toldOf(fake, 'in-flight').map(({ startedAt, snapshotTaken }) => [startedAt, snapshotTaken]),
    ).toEqual([
      [undefined, false],
      [begun, false],
      [begun, true],
      [undefined, false],
    ]);
    expect(toldOf(fake, 'run-ended').map((event) => event.outcome)).toEqual(['done']);
  });

  it('upgrades the first control-plane node with apply, the others with node', async () => {
    const second = clusterNode('k8s-master2', { controlPlane: true });
    const { ctx, fake } = fakeContext({ nodes: [master(), second, worker('k8s-node1')] });
    expect((await run({ ctx })).outcome).toBe('done');
    expect(fake.effects.filter((effect) => effect.includes('update_k8s'))).toEqual([
      'k8s-master update_k8s --role master --release 1.34.5',
      'k8s-master2 update_k8s --role worker --release 1.34.5',
      'k8s-node1 update_k8s --role worker --release 1.34.5',
    ]);
  });

  it('upgrades a node that joins in the middle (F26)', async () => {
    const { ctx, fake } = fakeContext();
    fake.onDrain = async (node) => {
      if (node === 'k8s-node1') fake.nodes = [...fake.nodes, worker('k8s-node9')];
    };
    expect((await run({ ctx })).outcome).toBe('done');
    expect(of(fake, 'k8s-node9').slice(0, 5)).toEqual(upgraded('k8s-node9', 'worker', 'soak').slice(0, 5));
  });

  it('has nothing to do, and writes nothing, when every node is there', async () => {
    const nodes = [master({ release: target }), worker('k8s-node1', { release: target })];
    const { ctx, fake } = fakeContext({ nodes });
    expect(await run({ ctx })).toMatchObject({ outcome: 'done', message: 'every node is at 1.34.5 already' });
    expect(fake.effects).toEqual([]);
    expect(fake.events.filter((event) => event.type === 'run-ended' && slackText(event))).toHaveLength(1);
  });

  it('interrupted right after its end was told and forgotten, it does not tell Slack again', async () => {
    const nodes = [master({ release: target }), worker('k8s-node1', { release: target })];
    const { ctx, fake } = fakeContext({ nodes });
    expect((await runUpgrade(ctx, true)).outcome).toBe('done');
    const ends = fake.events.filter((event) => event.type === 'run-ended');
    expect(ends).toMatchObject([{ outcome: 'done', repeated: true }]);
    expect(ends.map(slackText)).toEqual([undefined]);
    // With something left to tell, it does.
    const again = fakeContext({ nodes, inFlight: {} });
    await runUpgrade(again.ctx, true);
    expect(again.fake.events.filter((event) => event.type === 'run-ended').map(slackText)).toEqual([
      expect.stringContaining('done: upgrade finished'),
    ]);
  });

  it('passes on what kubeadm is to skip', async () => {
    const settings = {
      kubeadm: { skipPhases: ['addon/coredns'], ignorePreflightErrors: ['A', 'B'] },
      timing: { soak: '0s' },
    };
    const { ctx, fake } = fakeContext({ settings });
    await run({ ctx });
    expect(fake.effects).toContain(
      'k8s-master update_k8s --role master --release 1.34.5 --skip-phases addon/coredns --ignore-preflight-errors A,B',
    );
  });
});

describe('a resumed run (F5)', () => {
  const done = { release: target, touchedAt: Date.now() - 30_000 };

  it('goes on with the node that was left, and repeats nothing', async () => {
    const { ctx, fake } = fakeContext({
      inFlight: { snapshotPath: '/backup/old.db' },
      nodes: [
        master(done),
        worker('k8s-node3'),
        worker('k8s-node2', done),
        worker('k8s-node1', {
          unschedulable: true,
          cordonedByUs: true,
          touchedAt: Date.now() - 30_000,
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
      'k8s-node1 update_k8s --role worker --release 1.34.5',
      'k8s-node1 uncordon cordoned- soaking',
      'k8s-node1 mark soaking-',
      ...upgraded('k8s-node3', 'worker', 'soak'),
      ...cleared('k8s-master', 'k8s-node3', 'k8s-node2', 'k8s-node1'),
    ]);
    expect(toldOf(fake, 'run-started')[0]?.resumed).toBe(true);
  });

  it('finishes a node whose kubelet is there and whose script was not through', async () => {
    const { ctx, fake } = fakeContext({
      inFlight: {},
      nodes: [master({ ...done, unschedulable: true, cordonedByUs: true }), worker('k8s-node1', done)],
    });
    await run({ ctx });
    expect(of(fake, 'k8s-master').slice(0, 4)).toEqual([
      'k8s-master update_k8s ended',
      'k8s-master drain',
      'k8s-master update_k8s --role worker --release 1.34.5',
      'k8s-master uncordon cordoned- soaking-',
    ]);
  });

  it('waits for the script on a worker before kubeadm begins on a control-plane node that has joined', async () => {
    const begun = { unschedulable: true, cordonedByUs: true, touchedAt: Date.now() - 30_000 };
    const { ctx, fake } = fakeContext({
      inFlight: {},
      nodes: [master(done), master({ name: 'k8s-master2' }), worker('k8s-node1', begun)],
    });
    expect((await run({ ctx })).outcome).toBe('done');
    expect(fake.effects.filter((effect) => effect.includes('update_k8s'))).toEqual([
      'k8s-node1 update_k8s ended',
      'k8s-master2 update_k8s --role worker --release 1.34.5',
      'k8s-node1 update_k8s --role worker --release 1.34.5',
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
    'of the stage %s alone is refused while a node of another one was begun',
    async (stages, reason, nodes) => {
      const { ctx, fake } = fakeContext({ inFlight: {}, stages, nodes });
      const result = await run({ ctx });
      expect(result).toMatchObject({ outcome: 'blocked', message: expect.stringContaining(reason) });
      expect(fake.effects).toEqual(['journal acknowledge']);
    },
  );

  it('only clears its marks when everything else was done', async () => {
    const nodes = [master(done), worker('k8s-node2', { release: target }), worker('k8s-node1', done)];
    const { ctx, fake } = fakeContext({ inFlight: {}, nodes });
    expect((await run({ ctx })).outcome).toBe('done');
    expect(fake.effects).toEqual(['journal acknowledge', ...cleared('k8s-master', 'k8s-node1')]);
  });

  it('sees a soak through without doing anything to the node, for what is left of it', async () => {
    const soaking = { ...done, soakingSince: Date.now() - 60_000 };
    const { ctx, fake } = fakeContext({
      inFlight: {},
      nodes: [master(done), worker('k8s-node2', soaking), worker('k8s-node1', done)],
      settings: { timing: { soak: '1m' } },
    });
    const started = performance.now();
    expect((await run({ ctx })).outcome).toBe('done');
    expect(performance.now() - started).toBeLessThan(2_000);
    expect(of(fake, 'k8s-node2')).toEqual(['k8s-node2 mark soaking-', 'k8s-node2 mark touched- soaking-']);
  });

  it('is another rollout when it goes elsewhere: its own start, and a snapshot of its own', async () => {
    const { ctx, fake } = fakeContext({
      inFlight: { target: parseRelease('t', '1.34.4'), snapshotPath: '/backup/old.db' },
    });
    await run({ ctx });
    expect(fake.effects.slice(0, 4)).toEqual([
      'journal acknowledge',
      'journal begin 1.34.5 patch',
      ...snapshot,
    ]);
  });
});

describe('the end of a rollout', () => {
  it('is told before the rollout is forgotten, so that a crash in between loses nothing', async () => {
    const { ctx, fake } = fakeContext();
    ctx.report.add({
      name: 'order',
      handle: (event) => void (event.type === 'run-ended' && fake.effects.push('told')),
    });
    await run({ ctx });
    expect(fake.effects.slice(-2)).toEqual(['told', 'journal clear']);
  });

  it('is a failure when it cannot be written down', async () => {
    const { ctx, fake } = fakeContext();
    const clear = async () => {
      throw new UpgradeError('failed', 'no answer from the API server');
    };
    const result = await run({ ctx: { ...ctx, journal: { ...ctx.journal, clear } } });
    expect(result).toMatchObject({ outcome: 'failed', message: 'no answer from the API server' });
    expect(toldOf(fake, 'run-ended').map((event) => event.outcome)).toEqual(['done', 'failed']);
    expect(toldOf(fake, 'in-flight').at(-1)?.startedAt).toBeDefined();
  });

  it('is not replaced by a snapshot for another target', async () => {
    const inFlight = { target: parseRelease('t', '1.34.4') };
    const { ctx, fake } = fakeContext({ inFlight, stages: 'preflight,snapshot' });
    expect(await run({ ctx })).toMatchObject({
      outcome: 'blocked',
      message: expect.stringContaining('to 1.34.4, and this is for 1.34.5'),
    });
    expect(fake.inFlight?.target).toBe('1.34.4');
  });

  it('of a dry-run is no rollout in flight, nor is its beginning', async () => {
    const { ctx, fake } = fakeContext();
    const request = { ...ctx.request, dryRun: true };
    expect((await run({ ctx: { ...ctx, request } })).outcome).toBe('done');
    expect(toldOf(fake, 'in-flight')).toEqual([]);
  });

  it('is told to the Pushgateway by the next process, when the one before died of it', async () => {
    const { ctx, fake } = fakeContext({ nodes: [master({ release: target })] });
    await run({ ctx });
    expect(toldOf(fake, 'in-flight')).toEqual([
      { type: 'in-flight', startedAt: undefined, snapshotTaken: false },
    ]);
  });
});

describe('a person’s cordon (F11)', () => {
  it('does not hide that a node was begun and not finished: it is finished, with its soak', async () => {
    const begun = { release: target, touchedAt: Date.now() - 30_000, unschedulable: true, unfinished: true };
    const { ctx, fake } = fakeContext({
      inFlight: {},
      nodes: [master({ release: target }), worker('k8s-node2'), worker('k8s-node1', begun)],
      server: '1.34.5',
    });
    expect((await run({ ctx })).outcome).toBe('done');
    expect(of(fake, 'k8s-node1').slice(0, 5)).toEqual([
      'k8s-node1 update_k8s ended',
      'k8s-node1 drain',
      'k8s-node1 update_k8s --role worker --release 1.34.5',
      'k8s-node1 mark cordoned- soaking unfinished-',
      'k8s-node1 mark soaking-',
    ]);
    expect(fake.effects.indexOf('k8s-node1 drain')).toBeLessThan(fake.effects.indexOf('k8s-node2 drain'));
    expect(fake.node('k8s-node1')).toMatchObject({ unschedulable: true, unfinished: false });
  });

  it('is there before and after', async () => {
    const { ctx, fake } = fakeContext({ nodes: [master(), worker('k8s-node1', { unschedulable: true })] });
    expect((await run({ ctx })).outcome).toBe('done');
    expect(of(fake, 'k8s-node1').filter((effect) => effect.includes('cordon '))).toEqual([]);
    expect(of(fake, 'k8s-node1')).toContain('k8s-node1 update_k8s --role worker --release 1.34.5');
    expect(fake.node('k8s-node1')).toMatchObject({
      unschedulable: true,
      cordonedByUs: false,
      release: target,
    });
  });

  it.each([
    ['ours is set', 'k8s-node1 cordon', { unschedulable: true, cordonedByUs: false }],
    ['ours is lifted', 'k8s-node1 uncordon', { unschedulable: true, cordonedByUs: false }],
  ])('that is made right before %s is seen', async (_when, write, expected) => {
    const { ctx, fake } = fakeContext({ nodes: [master(), worker('k8s-node1')] });
    const { patchNode } = ctx.writer;
    let changed = false;
    ctx.writer.patchNode = async (name, annotations, unschedulable, version) => {
      const what = `${name} ${unschedulable === undefined ? 'mark' : unschedulable ? 'cordon' : 'uncordon'}`;
      if (what !== write || changed) return patchNode(name, annotations, unschedulable, version);
      changed = true;
      // Lifted by somebody who then makes one of their own, or made where there was none.
      fake.change(name, { unschedulable: true, cordonedByUs: false, version: '2' });
      throw new ApiError('patch node', new ApiException(409, 'changed', {}, {}));
    };
    fake.change('k8s-node1', { version: '1' });
    expect((await run({ ctx })).outcome).toBe('done');
    expect(changed).toBe(true);
    expect(fake.node('k8s-node1')).toMatchObject({ release: target, ...expected });
  });

  it('is not lifted by a drain that fails either', async () => {
    const { ctx, fake } = fakeContext({ nodes: [master(), worker('k8s-node1', { unschedulable: true })] });
    fake.onDrain = async (node) => {
      if (node === 'k8s-node1') throw new BlockedError('no', ['budget']);
    };
    expect((await run({ ctx })).outcome).toBe('blocked');
    expect(fake.node('k8s-node1').unschedulable).toBe(true);
  });
});

describe('a drain that fails', () => {
  const failing = (fake: FakeCluster) => {
    fake.onDrain = async (node) => {
      if (node === 'k8s-node2')
        throw new BlockedError('node k8s-node2 was not empty', ['apps/web'], { hint: 'free it' });
    };
  };

  it('lifts our cordon, leaves the rest alone, and stays in flight (F11)', async () => {
    const { ctx, fake } = fakeContext();
    failing(fake);
    expect(await run({ ctx })).toMatchObject({
      outcome: 'blocked',
      message: expect.stringContaining('apps/web'),
      hint: 'free it',
    });
    expect(of(fake, 'k8s-node2')).toEqual([
      'k8s-node2 cordon cordoned',
      'k8s-node2 drain',
      'k8s-node2 uncordon cordoned- soaking-',
    ]);
    expect(of(fake, 'k8s-node1')).toEqual([]);
    expect(fake.inFlight).toMatchObject({ target, snapshotPath: '/backup/new.db' });
    expect(toldOf(fake, 'run-ended').map((event) => event.outcome)).toEqual(['blocked']);
  });

  it('leaves a node cordoned whose packages may have changed', async () => {
    const touched = { unschedulable: true, cordonedByUs: true, touchedAt: Date.now() };
    const nodes = [master({ release: target }), worker('k8s-node2', touched)];
    const { ctx, fake } = fakeContext({ inFlight: {}, nodes });
    failing(fake);
    expect((await run({ ctx })).outcome).toBe('blocked');
    expect(fake.node('k8s-node2').unschedulable).toBe(true);
  });

  it('is followed by a run that finishes', async () => {
    const { ctx, fake } = fakeContext();
    failing(fake);
    await run({ ctx });
    fake.onDrain = async () => {};
    expect((await run({ ctx })).outcome).toBe('done');
    expect(fake.nodes.every((node) => node.release === target && !node.unschedulable)).toBe(true);
  });

  it('lifts our cordon when the run is called off in it', async () => {
    const stop = new AbortController();
    const { ctx, fake } = fakeContext({ signal: stop.signal });
    fake.onDrain = async () => {
      stop.abort(new Error('SIGTERM'));
      stop.signal.throwIfAborted();
    };
    expect((await rejection(runUpgrade(ctx))).message).toBe('SIGTERM');
    expect(fake.node('k8s-master')).toMatchObject({ unschedulable: false, cordonedByUs: false });
    expect(toldOf(fake, 'run-ended')).toEqual([]);
  });
});

describe('a script that fails', () => {
  const failing = (fake: FakeCluster, name: string, before: () => void = () => {}) => {
    fake.onScript = async (node) => {
      if (node !== name) return;
      before();
      throw new ScriptError(node, 'update_k8s', 1, ['error: kubeadm gave up']);
    };
  };

  it('leaves its node cordoned and the rollout in flight, and says what to do', async () => {
    const { ctx, fake } = fakeContext();
    failing(fake, 'k8s-node2');
    expect(await run({ ctx })).toMatchObject({
      outcome: 'failed',
      message: 'update_k8s on k8s-node2 failed with exit code 1: kubeadm gave up',
      hint: expect.stringMatching(
        /^k8s-node2 stays cordoned at 1\.34\.2\. Its log is on k8s-node2 .*run again/,
      ),
    });
    expect(of(fake, 'k8s-node2').at(-1)).toContain('update_k8s');
    expect(fake.node('k8s-node2')).toMatchObject({ unschedulable: true, cordonedByUs: true });
    expect(of(fake, 'k8s-node1')).toEqual([]);
    expect(fake.inFlight).toBeDefined();
  });

  it('is forgiven when its node is at the target and Ready (F20)', async () => {
    const { ctx, fake } = fakeContext();
    failing(fake, 'k8s-master', () => {
      fake.change('k8s-master', { release: target });
      fake.server = target;
    });
    expect((await run({ ctx })).outcome).toBe('done');
    expect(toldOf(fake, 'notice').map((event) => event.text)).toContainEqual(
      expect.stringContaining('but the node is Ready at 1.34.5, going on'),
    );
  });

  it('is not forgiven when its node is at the target and not Ready', async () => {
    const { ctx, fake } = fakeContext();
    failing(fake, 'k8s-node2', () => fake.change('k8s-node2', { release: target, ready: false }));
    expect(await run({ ctx })).toMatchObject({
      outcome: 'failed',
      message: 'update_k8s on k8s-node2 failed with exit code 1: kubeadm gave up',
    });
  });

  it('or a node that does not come up leaves it cordoned', async () => {
    const { ctx, fake } = fakeContext();
    fake.onScript = async (node) => fake.change(node, { ready: node !== 'k8s-node2' });
    expect(await run({ ctx })).toMatchObject({
      outcome: 'failed',
      message: expect.stringContaining('waiting for k8s-node2 to be Ready at 1.34.5: gave up'),
      hint: expect.stringMatching(
        /^k8s-node2 stays cordoned at 1\.34\.5\. journalctl -u kubelet .*run again/,
      ),
    });
    expect(fake.node('k8s-node2')).toMatchObject({ unschedulable: true, cordonedByUs: true });
  });

  it('or has no end in its time leaves its node cordoned, and says that it may still run, and where its log is', async () => {
    const { ctx, fake } = fakeContext();
    fake.onScript = async (node) => {
      const at = { node, address: '10.0.20.5', user: 'wizard', port: 22 };
      if (node === 'k8s-node2') throw new ConnectionError(at, 'no end within its time limit');
    };
    const { outcome, hint } = await run({ ctx });
    expect(outcome).toBe('failed');
    expect(hint).toContain('k8s-node2 stays cordoned at 1.34.2. update_k8s.sh may still run there');
    expect(hint).toContain('/var/log/k8s-upgrade/update_k8s.log. Try it by hand: ssh -p 22 wizard@10.0.20.5');
    expect(fake.node('k8s-node2')).toMatchObject({ unschedulable: true, cordonedByUs: true });
  });

  it('or an API server that did not change ends the run after the control plane', async () => {
    const { ctx, fake } = fakeContext();
    fake.onScript = async (node) => {
      fake.change(node, { release: target });
      throw new ScriptError(node, 'update_k8s', 1, []);
    };
    expect(await run({ ctx })).toMatchObject({
      outcome: 'failed',
      message: expect.stringContaining('still answers 1.34.2'),
    });
    expect(of(fake, 'k8s-node2')).toEqual([]);
  });
});

describe('the snapshot', () => {
  const old = (seconds: number) =>
    `/backup/k8s-upgrade-pre-1.34.5-${Math.floor(Date.now() / 1000) - seconds}.db`;
  const taken = (fake: FakeCluster) => fake.effects.includes('k8s-master snapshot before 1.34.5');

  test.each([
    ['none yet', {}, true, true],
    ['one of this rollout, verified again', { snapshotPath: old(60) }, true, false],
    ['one that no longer verifies', { snapshotPath: old(60) }, false, true],
    ['one that is too old', { snapshotPath: old(2 * 86_400) }, true, true],
  ])('with %s', async (_what, inFlight, verifies, takes) => {
    const { ctx, fake } = fakeContext({ inFlight });
    fake.verifySnapshot = async () => verifies;
    expect((await run({ ctx })).outcome).toBe('done');
    expect(taken(fake)).toBe(takes);
  });

  it.each(['k8s-master', 'k8s-node1'])(
    'from before the first change is kept, however old, once %s was touched',
    async (name) => {
      const { ctx, fake } = fakeContext({
        inFlight: { snapshotPath: old(2 * 86_400) },
        nodes: [master(), worker('k8s-node1')],
        server: '1.34.5',
      });
      fake.change(name, { touchedAt: Date.now() - 1_000 });
      expect((await run({ ctx })).outcome).toBe('done');
      expect(taken(fake)).toBe(false);
    },
  );

  it('comes too late for a control plane that is upgraded', async () => {
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

describe('containerd', () => {
  const updates = (fake: FakeCluster) => fake.effects.filter((effect) => effect.includes('containerd'));
  test.each([
    ['behind every worker: up to the oldest of them', '1.7.20', ['1.7.27', '1.7.24'], ['--version 1.7.24']],
    ['behind by number, not by text', '1.7.9', ['1.7.10'], ['--version 1.7.10']],
    ['behind workers of 1.7.9 and 1.7.10', '1.7.8', ['1.7.10', '1.7.9'], ['--version 1.7.9']],
    ['behind one worker only', '1.7.24', ['1.7.27', '1.7.24'], []],
    ['ahead', '2.1.0', ['1.7.27'], []],
    ['a major behind', '1.7.27', ['2.1.0'], []],
    ['beside a worker with another runtime', '1.7.20', ['1.7.27', undefined], []],
    ['another runtime itself', undefined, ['1.7.27'], []],
    ['alone', '1.7.20', [], []],
  ])('on a control plane that is %s', async (_what, own, workers, expected) => {
    const nodes = [
      master({ containerd: own }),
      ...workers.map((containerd, n) => worker(`k8s-node${n + 1}`, { containerd })),
    ];
    const { ctx, fake } = fakeContext({ nodes });
    expect((await run({ ctx })).outcome).toBe('done');
    expect(updates(fake)).toEqual(expected.map((args) => `k8s-master update_containerd ${args}`));
    if (expected.length > 0) {
      const at = (text: string) => fake.effects.findIndex((effect) => effect.includes(text));
      expect(at('journal snapshot')).toBeLessThan(at('containerd'));
      expect(at('containerd')).toBeLessThan(at('k8s-master cordon'));
    }
  });
});

describe('containerd on the control plane', () => {
  const update = 'update_containerd --version 1.7.28';
  const old = { containerd: '1.7.27' };
  const current = (name: string) => worker(name, { containerd: '1.7.28' });

  it('is a change of this rollout: marked before, and no longer unfinished after', async () => {
    const { ctx, fake } = fakeContext({ stages: 'containerd', nodes: [master(old), current('k8s-node1')] });
    expect((await run({ ctx })).outcome).toBe('done');
    expect(of(fake, 'k8s-master')).toEqual([
      'k8s-master mark touched unfinished',
      `k8s-master ${update}`,
      'k8s-master mark unfinished-',
    ]);
  });

  it('leaves nothing to finish on a node at the target, which no drain will touch again (F5)', async () => {
    const done = { ...old, release: target };
    const { ctx, fake } = fakeContext({ inFlight: {}, nodes: [master(done), current('k8s-node1')] });
    fake.onScript = async (_node, name) => {
      if (name === 'update_containerd') throw new Error('killed here');
    };
    await expect(run({ ctx })).rejects.toThrow('killed here');
    expect(of(fake, 'k8s-master')).toContain('k8s-master mark touched');
    expect(fake.node('k8s-master').unfinished).toBe(false);
  });

  it('leaves what an earlier process began for the stage master to finish', async () => {
    const begun = { ...old, unschedulable: true, cordonedByUs: true, touchedAt: Date.now() - 1_000 };
    const { ctx, fake } = fakeContext({ inFlight: {}, nodes: [master(begun), current('k8s-node1')] });
    expect((await run({ ctx })).outcome).toBe('done');
    expect(of(fake, 'k8s-master').slice(2, 5)).toEqual([
      `k8s-master ${update}`,
      'k8s-master drain',
      'k8s-master update_k8s --role master --release 1.34.5',
    ]);
  });

  it('does not keep the cordon of a drain that fails afterwards, nor hide that a person’s node is not through', async () => {
    const { ctx, fake } = fakeContext({ nodes: [master(old), current('k8s-node1')] });
    fake.onDrain = async () => {
      throw new BlockedError('no', ['budget']);
    };
    expect((await run({ ctx })).outcome).toBe('blocked');
    expect(fake.node('k8s-master')).toMatchObject({ unschedulable: false, touchedAt: expect.any(Number) });
    const cordoned = fakeContext({
      nodes: [master({ ...old, unschedulable: true }), current('k8s-node1')],
      settings: { timing: { soak: '0s' } },
    });
    await run(cordoned);
    expect(of(cordoned.fake, 'k8s-master')).toContain('k8s-master mark unfinished');
  });

  it('waits for the other control-plane nodes to be well, and for alerts', async () => {
    const second = master({ ...old, name: 'k8s-master2', address: '10.0.0.99' });
    const { ctx, fake } = fakeContext({ nodes: [master(old), second, current('k8s-node1')] });
    fake.onScript = async (node, name) => {
      if (name === 'update_containerd') fake.change(node, { ready: false, containerd: '1.7.28' });
    };
    expect(await run({ ctx })).toMatchObject({
      outcome: 'blocked',
      message: 'stopped before containerd of k8s-master2:\n  - nodes: node k8s-master is not Ready',
    });
    expect(of(fake, 'k8s-master2')).toEqual([]);
  });
});

describe('the repository', () => {
  const minor = { target: '1.35.1', kind: 'minor' } as const;
  const switched = (fake: FakeCluster) => fake.effects.filter((effect) => effect.includes('set_repository'));

  it('is switched on every node before the first drain, for a minor', async () => {
    const { ctx, fake } = fakeContext(minor);
    expect((await run({ ctx })).outcome).toBe('done');
    const args = 'set_repository --minor 1.35 --url https://pkgs.k8s.io/core:/stable:/';
    expect(switched(fake)).toEqual(['k8s-master', 'k8s-node2', 'k8s-node1'].map((node) => `${node} ${args}`));
    const last = fake.effects.findLastIndex((effect) => effect.includes('set_repository'));
    expect(last).toBeLessThan(fake.effects.findIndex((effect) => effect.endsWith('drain')));
  });

  it('is switched before its drain on a node that has joined since, whose fitness is asked, too (F26)', async () => {
    const { ctx, fake } = fakeContext(minor);
    const { read } = ctx.shell;
    const asked: string[] = [];
    ctx.shell.read = async (node, words) => {
      if (words[0] === 'bash') asked.push(node.node);
      return read(node, words);
    };
    fake.onDrain = async (node) => {
      if (node === 'k8s-node1') fake.nodes = [...fake.nodes, worker('k8s-node9')];
    };
    expect((await run({ ctx })).outcome).toBe('done');
    expect(of(fake, 'k8s-node9').slice(0, 2)).toEqual([
      'k8s-node9 set_repository --minor 1.35 --url https://pkgs.k8s.io/core:/stable:/',
      'k8s-node9 cordon cordoned',
    ]);
    expect(switched(fake).filter((effect) => effect.startsWith('k8s-node2'))).toHaveLength(1);
    expect(asked).toContain('k8s-node9');
  });

  it('of a node that has joined and cannot take it: it is left as it is', async () => {
    const { ctx, fake } = fakeContext(minor);
    const old = worker('k8s-node9', { release: parseRelease('t', '1.34.2') });
    const { read } = ctx.shell;
    ctx.shell.read = async (node, words) =>
      words[0] === 'bash' && node.node === old.name
        ? { code: 0, output: 'cgroup v1\nfile /var/lib/kubelet/config.yaml e30K\nend' }
        : read(node, words);
    fake.onDrain = async (node) => {
      if (node === 'k8s-node2') fake.nodes = [...fake.nodes, old];
    };
    const { outcome, message } = await run({ ctx });
    expect(outcome).toBe('blocked');
    expect(message).toMatch(
      /stopped before k8s-node9, which has joined:\n.*cgroup: k8s-node9 runs cgroup v1/,
    );
    expect(of(fake, 'k8s-node9')).toEqual([]);
  });

  it('stays for a patch', async () => {
    const { ctx, fake } = fakeContext();
    await run({ ctx });
    expect(switched(fake)).toEqual([]);
    expect(toldOf(fake, 'stage-skipped')).toContainEqual(expect.objectContaining({ stage: 'repo' }));
  });
});

describe('the kill switch', () => {
  it.each(['all', 'containerd,master'])('stops a run of %s before it begins', async (stages) => {
    const { ctx, fake } = fakeContext({ stages });
    fake.killSwitch = 'disk swap';
    expect(await run({ ctx })).toMatchObject({
      outcome: 'blocked',
      message: 'upgrades are halted:\n  - disk swap',
    });
    expect(fake.effects).toEqual(['journal acknowledge']);
    expect(fake.inFlight).toBeUndefined();
  });

  it('stops a run before its next node, at once, with the last one finished', async () => {
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
    expect(of(fake, 'k8s-node1')).toEqual([]);
  });
});

describe('a subset of the stages', () => {
  it.each([
    ['preflight', ['journal acknowledge', 'journal clear']],
    [
      'preflight,snapshot',
      ['journal acknowledge', 'journal begin 1.34.5 patch', ...snapshot, 'journal clear'],
    ],
  ])('%s touches no node and leaves no latch (F7)', async (stages, effects) => {
    const { ctx, fake } = fakeContext({ stages });
    expect((await run({ ctx })).outcome).toBe('done');
    expect(fake.effects).toEqual(effects);
    expect(toldOf(fake, 'in-flight').at(-1)).toMatchObject({ startedAt: undefined });
  });

  it('that is harmless leaves no latch when it fails either (F7)', async () => {
    const { ctx, fake } = fakeContext({ stages: 'preflight,snapshot' });
    fake.takeSnapshot = async () => {
      throw new UpgradeError('failed', 'no space');
    };
    expect(await run({ ctx })).toMatchObject({ outcome: 'failed', message: 'no space' });
    expect(fake.inFlight).toBeUndefined();
    expect(toldOf(fake, 'in-flight').at(-1)).toMatchObject({ startedAt: undefined });
  });

  it('that is harmless leaves the latch of a rollout that was there', async () => {
    const { ctx, fake } = fakeContext({ stages: 'preflight,snapshot', inFlight: {} });
    await run({ ctx });
    expect(fake.inFlight).toMatchObject({ target, snapshotPath: '/backup/new.db' });
  });

  it('without post-flight stays in flight', async () => {
    const { ctx, fake } = fakeContext({ stages: 'preflight,snapshot,master' });
    expect((await run({ ctx })).outcome).toBe('done');
    expect(fake.inFlight).toBeDefined();
    expect(of(fake, 'k8s-node1')).toEqual([]);
  });

  it('that has the workers before the control plane is refused before it changes anything', async () => {
    const { ctx, fake } = fakeContext({ target: '1.35.3', kind: 'minor', stages: 'repo,workers' });
    expect(await run({ ctx })).toMatchObject({
      outcome: 'blocked',
      message: expect.stringContaining(
        'control-plane-first: the API server is at 1.34.2; the stage master brings it to 1.35.3 first',
      ),
    });
    expect(fake.effects).toEqual(['journal acknowledge']);
    expect(fake.inFlight).toBeUndefined();
  });

  it('that has the workers goes on while the control plane is at the target, and no longer than that', async () => {
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
    expect([fake.node('k8s-node2').release, of(fake, 'k8s-node1')]).toEqual([target, []]);
  });

  it('that has the workers is refused while a control-plane node is not finished', async () => {
    const begun = { release: target, unschedulable: true, cordonedByUs: true };
    const { ctx } = fakeContext({ stages: 'workers', nodes: [master(begun), worker('k8s-node1')] });
    expect((await run({ ctx })).message).toContain('k8s-master needs the stage master');
  });

  it('of post-flight alone says what is not there', async () => {
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

describe('alerts', () => {
  const alert = (name: string, labels: Record<string, string> = {}) => ({ name, labels });

  it('that the rollout causes itself do not stop it (F8)', async () => {
    const { ctx, fake } = fakeContext();
    fake.firing = async () => {
      const touched = fake.nodes.filter((node) => node.touchedAt !== undefined);
      if (touched.length === 0) return [];
      return [
        alert('K8sVersionSkew'),
        ...touched.map((node) => alert('RecentNodeReboot', { node: node.name })),
      ];
    };
    expect((await run({ ctx })).outcome).toBe('done');
  });

  it('that somebody else causes stop it before the next drain, by name', async () => {
    const { ctx, fake } = fakeContext({
      settings: { gates: { alertWait: '30ms', alertInterval: '5ms' }, timing: { soak: '0s' } },
    });
    fake.firing = async () =>
      fake.node('k8s-master').release === target ? [alert('RecentNodeReboot', { node: 'k8s-node1' })] : [];
    expect(await run({ ctx })).toMatchObject({
      outcome: 'blocked',
      message: expect.stringContaining('alerts: alert RecentNodeReboot is firing (node=k8s-node1)'),
    });
    expect(of(fake, 'k8s-node2')).toEqual([]);
    expect(toldOf(fake, 'waiting')).toHaveLength(1);
  });

  it('that clear in time are waited for', async () => {
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
    expect(toldOf(fake, 'waiting')).toHaveLength(1);
  });

  it('in a soak stop it at once, and the node keeps its soak for the next run', async () => {
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
    expect(of(fake, 'k8s-node1')).toEqual([]);
  });

  it('that cannot be told are closed at preflight (F31), and waited for in a soak', async () => {
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
  const restless = (node: Parameters<typeof worker>[1]) => [master(), worker('k8s-node1', node)];

  it('holds a fresh run when only time is missing (F15), and blocks it when there is more', async () => {
    const lately = fakeContext({ nodes: restless({ readySince: Date.now() - 60_000 }) });
    expect(await run(lately)).toMatchObject({
      outcome: 'held',
      message: expect.stringContaining('node k8s-node1 became Ready 1m ago; quiet means 1d'),
    });
    const both = fakeContext({ nodes: restless({ readySince: Date.now(), pressures: ['DiskPressure'] }) });
    const result = await run(both);
    expect(result.outcome).toBe('blocked');
    for (const reason of ['quiet: node k8s-node1', 'nodes: node k8s-node1 has DiskPressure'])
      expect(result.message).toContain(reason);
    for (const { fake } of [lately, both]) expect(fake.inFlight).toBeUndefined();
  });

  it('does not hold the resumption of a run by what that run did (F8)', async () => {
    const touched = { readySince: Date.now() - 1_000, touchedAt: Date.now() - 30_000, release: target };
    const { ctx } = fakeContext({ inFlight: {}, nodes: [master(touched), worker('k8s-node1')] });
    expect((await run({ ctx })).outcome).toBe('done');
  });

  it('does not hold it by what happened since it began: the host of its last leg may have been rebooted', async () => {
    const { ctx } = fakeContext({ inFlight: {}, nodes: restless({ readySince: Date.now() - 1_000 }) });
    expect((await run({ ctx })).outcome).toBe('done');
  });

  it('does not end a rollout half way with nothing to say but “wait”', async () => {
    const touched = { touchedAt: Date.now() - 30_000, release: target };
    const { ctx } = fakeContext({
      inFlight: {},
      nodes: [master(touched), worker('k8s-node1', { readySince: Date.now() - 3_600_000 })],
    });
    expect((await run({ ctx })).outcome).toBe('done');
  });

  it('holds a resumed run that has touched nothing when only time is missing (F15)', async () => {
    const { ctx, fake } = fakeContext({
      inFlight: {},
      nodes: restless({ readySince: Date.now() - 3_600_000 }),
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
      'a kubelet newer than the API server',
      { release: parseRelease('t', '1.34.4') },
      'version-path: kubelet 1.34.4 of k8s-node1 is newer',
    ],
  ])('refuses %s', async (_what, change, reason) => {
    const { ctx, fake } = fakeContext({ nodes: restless(change) });
    expect(await run({ ctx })).toMatchObject({
      outcome: 'blocked',
      message: expect.stringContaining(reason),
    });
    expect(fake.effects).toEqual(['journal acknowledge']);
  });

  it('refuses a listed node that is absent (F26)', async () => {
    const { ctx } = fakeContext({ nodes: [master(), worker('k8s-node1')] });
    const settings = { ...ctx.settings, nodes: { controlPlane: ['k8s-master'], workers: ['k8s-node7'] } };
    expect(await run({ ctx: { ...ctx, settings } })).toMatchObject({
      outcome: 'blocked',
      message: expect.stringContaining('node k8s-node7 is in the settings and not in the cluster'),
    });
  });

  it('does not stop at a listed node that has left the cluster since (F26)', async () => {
    const left = { release: target, touchedAt: Date.now() - 30_000 };
    const { ctx, fake } = fakeContext({ inFlight: {}, nodes: [master(left), worker('k8s-node1')] });
    const settings = { ...ctx.settings, nodes: { controlPlane: [], workers: ['k8s-node7', 'k8s-node1'] } };
    expect((await run({ ctx: { ...ctx, settings } })).outcome).toBe('done');
    expect(fake.inFlight).toBeUndefined();
  });

  it('refuses control-plane pods that are not Ready, or not there', async () => {
    const { ctx, fake } = fakeContext();
    fake.pods = [];
    expect((await run({ ctx })).message).toContain('no control-plane pod is reported for k8s-master');
  });
});

describe('post-flight', () => {
  it('refuses too many pods that are not Ready, and goes on from there', async () => {
    const { ctx, fake } = fakeContext({ settings: { gates: { alertWait: '0s' }, timing: { soak: '0s' } } });
    const sick = { metadata: { name: 'web', namespace: 'apps' }, status: { phase: 'Pending' } };
    const [healthy] = fake.pods;
    fake.pods = [...fake.pods, sick];
    expect(await run({ ctx })).toMatchObject({
      outcome: 'blocked',
      message: expect.stringContaining('1 of 2 pods are not Ready (at least 0.9 must be): apps/web'),
    });
    expect(fake.inFlight).toBeDefined();
    fake.pods = healthy ? [healthy] : [];
    expect((await run({ ctx })).outcome).toBe('done');
    expect(fake.inFlight).toBeUndefined();
  });
});

describe('the node under the run (F1)', () => {
  it('is left to the next leg, after everything else', async () => {
    const { ctx, fake } = fakeContext({ ownNode: 'k8s-node2' });
    expect(await run({ ctx })).toMatchObject({ outcome: 'done', handedOff: true });
    expect(of(fake, 'k8s-node2')).toEqual([]);
    expect(fake.effects.slice(-2)).toEqual(['k8s-node1 mark soaking-', 'next leg, not on k8s-node2']);
    expect(toldOf(fake, 'run-ended')).toEqual([]);
    expect(toldOf(fake, 'handed-off')).toEqual([
      { type: 'handed-off', job: 'leg-2', why: 'k8s-node2 is the node under this process' },
    ]);
    expect(fake.inFlight).toBeDefined();
  });

  it('that is the control plane is not drained, and nothing behind it either', async () => {
    const { ctx, fake } = fakeContext({ ownNode: 'k8s-master' });
    expect(await run({ ctx })).toMatchObject({ handedOff: true });
    expect(fake.effects.filter((effect) => effect.endsWith('drain'))).toEqual([]);
  });
});

describe('what ends a run without an outcome', () => {
  it('is a lost lease: nothing more is told', async () => {
    const { ctx, fake } = fakeContext();
    fake.onDrain = async () => {
      throw new LeaseHeldError('stopped', { identity: 'other/b', since: 'now', expired: false });
    };
    expect(await rejection(runUpgrade(ctx))).toBeInstanceOf(LeaseHeldError);
    await ctx.report.flush();
    expect(toldOf(fake, 'run-ended')).toEqual([]);
  });

  it('is a bug', async () => {
    const { ctx, fake } = fakeContext();
    fake.onDrain = async () => {
      throw new TypeError('undefined is not a function');
    };
    expect(await rejection(runUpgrade(ctx))).toBeInstanceOf(TypeError);
    expect(toldOf(fake, 'run-ended')).toEqual([]);
  });

  it('is bad input, with nothing touched', async () => {
    const { ctx, fake } = fakeContext({ target: '1.36.0', kind: 'minor' });
    expect(await rejection(runUpgrade(ctx))).toMatchObject({ code: 'badInput' });
    expect(fake.effects).toEqual([]);
  });
});

describe('a node that cannot be read', () => {
  const odd = new InputError('node k8s-node9 status.addresses', 'no address', 'an InternalIP');

  it('is bad input before a rollout', async () => {
    const { ctx, fake } = fakeContext();
    fake.odd = [odd];
    expect(await rejection(runUpgrade(ctx))).toBe(odd);
    expect(fake.effects).toEqual([]);
  });

  it('does not break off a drain in the middle of one; it is waited for, and closes the gate of nodes', async () => {
    const { ctx, fake } = fakeContext();
    fake.onDrain = async (node) => {
      if (node === 'k8s-node1') fake.odd = [odd];
    };
    expect(await run({ ctx })).toMatchObject({
      outcome: 'blocked',
      message: expect.stringContaining(`stopped at post-flight:\n  - nodes: ${odd.message}`),
    });
    expect(fake.node('k8s-node1').release).toBe(target);
    expect((await run({ ctx })).outcome).toBe('blocked');
    fake.odd = [];
    expect((await run({ ctx })).outcome).toBe('done');
  });
});

describe('a node that leaves in the middle', () => {
  it('of its soak has been seen through', async () => {
    const { ctx, fake } = fakeContext();
    const { patchNode } = ctx.writer;
    ctx.writer.patchNode = async (name, annotations, unschedulable) => {
      if (name !== 'k8s-node2' || !fake.node(name).soakingSince)
        return patchNode(name, annotations, unschedulable);
      fake.nodes = fake.nodes.filter((one) => one.name !== name);
      throw new ApiError('patch node', new ApiException(404, 'gone', {}, {}));
    };
    expect((await run({ ctx })).outcome).toBe('done');
    expect(fake.node('k8s-node1').release).toBe(target);
  });

  it('fails the run by name', async () => {
    const { ctx, fake } = fakeContext();
    fake.onDrain = async (node) => {
      if (node !== 'k8s-node2') return;
      fake.nodes = fake.nodes.filter((one) => one.name !== node);
      throw new BlockedError('time-out', []);
    };
    expect(await run({ ctx })).toMatchObject({
      outcome: 'failed',
      message: 'node k8s-node2 has left the cluster in the middle of its upgrade',
    });
    expect(of(fake, 'k8s-node1')).toEqual([]);
  });
});
