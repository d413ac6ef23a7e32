import { ApiException } from '@kubernetes/client-node';
import { describe, expect, it } from 'vitest';
import { ApiError } from '../../cluster/api-error.ts';
import { BlockedError, UpgradeError } from '../../errors.ts';
import { ScriptError } from '../../ssh/node-shell.ts';
import { ConnectionError } from '../../ssh/session.ts';
import { type FakeCluster, fakeContext, master } from '../../testing/fake-context.ts';
import { rejection } from '../../testing/files.ts';
import {
  effectsOn,
  eventsOf,
  inOne,
  kubeadmStep,
  kubeletStep,
  prepared,
  run,
  target,
  worker,
} from '../../testing/run.ts';
import { runUpgrade } from '../run.ts';

describe('a person’s cordon (F11)', () => {
  it('does not hide that a node is in progress: it is finished, with its soak', async () => {
    const inProgress = {
      release: target,
      changedAt: Date.now() - 30_000,
      unschedulable: true,
      unfinished: true,
    };
    const { ctx, fake } = fakeContext({
      inFlight: {},
      nodes: [master({ release: target }), worker('k8s-node2'), worker('k8s-node1', inProgress)],
      server: '1.34.5',
    });
    expect((await run({ ctx })).outcome).toBe('done');
    expect(effectsOn(fake, 'k8s-node1').slice(0, 5)).toEqual([
      'k8s-node1 update_k8s ended',
      'k8s-node1 drain',
      inOne('k8s-node1', 'worker'),
      'k8s-node1 annotate cordoned- soaking unfinished-',
      'k8s-node1 annotate soaking-',
    ]);
    expect(fake.effects.indexOf('k8s-node1 drain')).toBeLessThan(fake.effects.indexOf('k8s-node2 drain'));
    expect(fake.node('k8s-node1')).toMatchObject({ unschedulable: true, unfinished: false });
  });

  it('stays through the upgrade of its node', async () => {
    const { ctx, fake } = fakeContext({ nodes: [master(), worker('k8s-node1', { unschedulable: true })] });
    expect((await run({ ctx })).outcome).toBe('done');
    expect(effectsOn(fake, 'k8s-node1').filter((effect) => effect.includes('cordon '))).toEqual([]);
    expect(effectsOn(fake, 'k8s-node1')).toContain(kubeletStep('k8s-node1', 'worker'));
    expect(fake.node('k8s-node1')).toMatchObject({
      unschedulable: true,
      cordonedByUs: false,
      release: target,
    });
  });

  it.each([
    ['this rollout cordons', 'k8s-node1 cordon', { unschedulable: true, cordonedByUs: false }],
    ['this rollout uncordons', 'k8s-node1 uncordon', { unschedulable: true, cordonedByUs: false }],
  ])('that is set right before %s is respected', async (_when, write, expected) => {
    const { ctx, fake } = fakeContext({ nodes: [master(), worker('k8s-node1')] });
    const { patchNode } = ctx.writer;
    let changed = false;
    ctx.writer.patchNode = async (name, annotations, unschedulable, version) => {
      const what = `${name} ${unschedulable === undefined ? 'annotate' : unschedulable ? 'cordon' : 'uncordon'}`;
      if (what !== write || changed) return patchNode(name, annotations, unschedulable, version);
      changed = true;
      // A person cordons the node, or replaces the cordon of the rollout with their own.
      fake.change(name, { unschedulable: true, cordonedByUs: false, version: '2' });
      throw new ApiError('patch node', new ApiException(409, 'changed', {}, {}));
    };
    fake.change('k8s-node1', { version: '1' });
    expect((await run({ ctx })).outcome).toBe('done');
    expect(changed).toBe(true);
    expect(fake.node('k8s-node1')).toMatchObject({ release: target, ...expected });
  });

  it('stays when the drain fails', async () => {
    const { ctx, fake } = fakeContext({ nodes: [master(), worker('k8s-node1', { unschedulable: true })] });
    fake.onDrain = async (node) => {
      if (node === 'k8s-node1') throw new BlockedError('no', ['budget']);
    };
    expect((await run({ ctx })).outcome).toBe('blocked');
    expect(fake.node('k8s-node1').unschedulable).toBe(true);
  });
});

describe('a node that cannot be prepared (F54, F70)', () => {
  const lines = ['error: 1 image could not be pulled: etcd:3.6.5-0: not found'];
  const failing = (fake: FakeCluster, name: string) => {
    fake.onPrepare = async (node) => {
      if (node === name) throw new ScriptError(node, 'update_k8s', 1, lines);
    };
  };

  it('is neither cordoned nor drained, and blocks the run with the reason', async () => {
    const { ctx, fake } = fakeContext();
    failing(fake, 'k8s-node2');
    expect(await run({ ctx })).toMatchObject({
      outcome: 'blocked',
      message:
        'stopped before the drain of k8s-node2; nothing was changed there:\n  - 1 image could not be pulled: etcd:3.6.5-0: not found',
      hint: expect.stringMatching(/^Its log is on k8s-node2 in .*update_k8s\.log\. Fix this/),
    });
    expect(effectsOn(fake, 'k8s-node2')).toEqual([prepared('k8s-node2', 'worker')]);
    expect(fake.node('k8s-node2')).toMatchObject({ unschedulable: false, changedAt: undefined });
  });

  it('is found before any control-plane node changes, whichever it is', async () => {
    const nodes = [master(), master({ name: 'k8s-master2' }), master({ name: 'k8s-master3' })];
    const { ctx, fake } = fakeContext({ nodes });
    failing(fake, 'k8s-master3');
    expect(await run({ ctx })).toMatchObject({ outcome: 'blocked' });
    expect(fake.effects.filter((effect) => /cordon|drain|update_k8s/.test(effect))).toEqual([]);
    fake.onPrepare = async () => {};
    expect((await run({ ctx })).outcome).toBe('done');
  });

  it('in progress is not prepared: its script fetches what is missing', async () => {
    const inProgress = { changedAt: Date.now() - 30_000, unschedulable: true, cordonedByUs: true };
    const nodes = [master({ release: target }), worker('k8s-node2', inProgress)];
    const { ctx, fake } = fakeContext({ inFlight: {}, nodes });
    failing(fake, 'k8s-node2');
    expect((await run({ ctx })).outcome).toBe('done');
  });

  it('is not drained when a gate closes in the meantime', async () => {
    const { ctx, fake } = fakeContext();
    fake.onPrepare = async (node) => {
      if (node === 'k8s-node2') fake.killSwitch = 'stop';
    };
    expect((await run({ ctx })).outcome).not.toBe('done');
    expect(effectsOn(fake, 'k8s-node2')).toEqual([prepared('k8s-node2', 'worker')]);
  });
});

describe('a drain that fails', () => {
  const failing = (fake: FakeCluster) => {
    fake.onDrain = async (node) => {
      if (node === 'k8s-node2')
        throw new BlockedError('node k8s-node2 was not empty', ['apps/web'], { hint: 'free it' });
    };
  };

  it('lifts the cordon of the rollout, changes nothing else, and leaves the rollout in flight (F11)', async () => {
    const { ctx, fake } = fakeContext();
    failing(fake);
    expect(await run({ ctx })).toMatchObject({
      outcome: 'blocked',
      message: expect.stringContaining('apps/web'),
      hint: 'free it',
    });
    expect(effectsOn(fake, 'k8s-node2')).toEqual([
      prepared('k8s-node2', 'worker'),
      'k8s-node2 annotate touched daemon-sets unfinished',
      kubeadmStep('k8s-node2', 'worker'),
      'k8s-node2 cordon cordoned',
      'k8s-node2 drain',
      'k8s-node2 uncordon cordoned-',
    ]);
    expect(effectsOn(fake, 'k8s-node1')).toEqual([]);
    expect(fake.inFlight).toMatchObject({ target, snapshotPath: '/backup/new.db' });
    expect(eventsOf(fake, 'run-ended').map((event) => event.outcome)).toEqual(['blocked']);
  });

  it('leaves a node cordoned whose packages may have changed', async () => {
    const changed = { unschedulable: true, cordonedByUs: true, changedAt: Date.now() };
    const nodes = [master({ release: target }), worker('k8s-node2', changed)];
    const { ctx, fake } = fakeContext({ inFlight: {}, nodes });
    failing(fake);
    expect((await run({ ctx })).outcome).toBe('blocked');
    expect(fake.node('k8s-node2').unschedulable).toBe(true);
  });

  it('does not keep the next run from finishing', async () => {
    const { ctx, fake } = fakeContext();
    failing(fake);
    await run({ ctx });
    fake.onDrain = async () => {};
    expect((await run({ ctx })).outcome).toBe('done');
    expect(fake.nodes.every((node) => node.release === target && !node.unschedulable)).toBe(true);
  });

  it('lifts the cordon of the rollout when the run is aborted during the drain', async () => {
    const stop = new AbortController();
    const { ctx, fake } = fakeContext({ signal: stop.signal });
    fake.onDrain = async () => {
      stop.abort(new Error('SIGTERM'));
      stop.signal.throwIfAborted();
    };
    expect((await rejection(runUpgrade(ctx))).message).toBe('SIGTERM');
    expect(fake.node('k8s-master')).toMatchObject({ unschedulable: false, cordonedByUs: false });
    expect(eventsOf(fake, 'run-ended')).toEqual([]);
  });
});

describe('a node that is drained only before its kubelet', () => {
  const refused = async () => {
    throw new BlockedError('node k8s-node2 was not empty', ['apps/web']);
  };

  it('serves on when its drain is refused, stays in progress, and is resumed with kubeadm’s step', async () => {
    const { ctx, fake } = fakeContext();
    fake.onDrain = async (node) => (node === 'k8s-node2' ? refused() : undefined);
    await run({ ctx });
    expect(fake.node('k8s-node2')).toMatchObject({
      release: '1.34.2',
      unschedulable: false,
      unfinished: true,
      kubeadmOnly: true,
    });
    fake.onDrain = async () => {};
    fake.effects.length = 0;
    expect((await run({ ctx })).outcome).toBe('done');
    expect(effectsOn(fake, 'k8s-node2').slice(0, 7)).toEqual([
      'k8s-node2 update_k8s ended',
      kubeadmStep('k8s-node2', 'worker'),
      'k8s-node2 cordon cordoned',
      'k8s-node2 drain',
      'k8s-node2 annotate unfinished-',
      kubeletStep('k8s-node2', 'worker'),
      'k8s-node2 uncordon cordoned- soaking',
    ]);
    expect(fake.effects.indexOf('k8s-node2 drain')).toBeLessThan(fake.effects.indexOf('k8s-node1 drain'));
  });

  it('serves on when a process that died in the drain left it cordoned, and the drain is refused', async () => {
    const left = { changedAt: Date.now(), cordonedByUs: true, unschedulable: true };
    const inKubeadm = { ...left, unfinished: true, kubeadmOnly: true };
    const nodes = [master({ release: target }), worker('k8s-node2', inKubeadm)];
    for (const before of ['kubelet', 'kubeadm'] as const) {
      const { ctx, fake } = fakeContext({ inFlight: {}, nodes, settings: { drain: { before } } });
      fake.onDrain = refused;
      expect((await run({ ctx })).outcome).toBe('blocked');
      expect(fake.node('k8s-node2')).toMatchObject({ unschedulable: false, kubeadmOnly: true });
    }
  });

  it('is not drained when a gate closes during kubeadm’s step', async () => {
    const { ctx, fake } = fakeContext();
    fake.onScript = async (node) => {
      if (node === 'k8s-node2') fake.killSwitch = 'stop';
    };
    expect(await run({ ctx })).toMatchObject({
      outcome: 'blocked',
      message: expect.stringContaining('stopped before the drain of k8s-node2'),
    });
    expect(effectsOn(fake, 'k8s-node2').at(-1)).toBe(kubeadmStep('k8s-node2', 'worker'));
    expect(fake.node('k8s-node2')).toMatchObject({ unschedulable: false, kubeadmOnly: true });
  });

  it('serves on when kubeadm fails, even if its kubelet is at the target', async () => {
    const { ctx, fake } = fakeContext();
    fake.onScript = async (node, _script, args) => {
      if (node !== 'k8s-node2' || !args.includes('kubeadm')) return;
      fake.change(node, { release: target });
      throw new ScriptError(node, 'update_k8s', 1, ['error: kubeadm gave up']);
    };
    expect(await run({ ctx })).toMatchObject({
      outcome: 'failed',
      hint: expect.stringMatching(/^k8s-node2 serves on, its kubelet at 1\.34\.5\. Its log is on k8s-node2/),
    });
    expect(fake.node('k8s-node2')).toMatchObject({ unschedulable: false, kubeadmOnly: true });
    expect(effectsOn(fake, 'k8s-node2')).not.toContain('k8s-node2 drain');
  });

  it('that a person cordoned is drained first once its kubelet may have changed', async () => {
    const nodes = [master({ release: target }), worker('k8s-node2', { unschedulable: true })];
    const { ctx, fake } = fakeContext({ inFlight: {}, nodes, server: target });
    fake.onScript = async (node, _script, args) => {
      if (args.includes('kubelet')) throw new ScriptError(node, 'update_k8s', 1, ['error: dpkg']);
    };
    expect((await run({ ctx })).outcome).toBe('failed');
    expect(fake.node('k8s-node2')).toMatchObject({ unfinished: true, kubeadmOnly: false });
    fake.effects.length = 0;
    expect((await run({ ctx })).outcome).toBe('done');
    expect(effectsOn(fake, 'k8s-node2').slice(1, 3)).toEqual([
      'k8s-node2 drain',
      inOne('k8s-node2', 'worker'),
    ]);
    expect(fake.node('k8s-node2')).toMatchObject({ unschedulable: true, unfinished: false });
  });
});

describe('a node that is drained before kubeadm', () => {
  const settings = { drain: { before: 'kubeadm' }, timing: { soak: '0s', nodeReady: '50ms' } } as const;

  it('is drained before anything is changed there, and both steps are one script', async () => {
    const { ctx, fake } = fakeContext({ settings });
    expect((await run({ ctx })).outcome).toBe('done');
    expect(effectsOn(fake, 'k8s-master').slice(1, -1)).toEqual([
      prepared('k8s-master', 'master'),
      'k8s-master cordon cordoned',
      'k8s-master drain',
      'k8s-master annotate touched daemon-sets',
      inOne('k8s-master', 'master'),
      'k8s-master uncordon cordoned- soaking-',
    ]);
  });

  it('is as before when its drain is refused', async () => {
    const { ctx, fake } = fakeContext({ settings });
    fake.onDrain = async () => {
      throw new BlockedError('no', ['apps/web']);
    };
    expect((await run({ ctx })).outcome).toBe('blocked');
    expect(fake.node('k8s-master')).toMatchObject({
      unschedulable: false,
      changedAt: undefined,
      unfinished: false,
    });
  });
});

describe('a script that fails', () => {
  const failing = (fake: FakeCluster, name: string, before: () => void = () => {}) => {
    fake.onScript = async (node, _script, args) => {
      if (node !== name || args.includes('kubeadm')) return;
      before();
      throw new ScriptError(node, 'update_k8s', 1, ['error: kubeadm gave up']);
    };
  };

  it('leaves its node cordoned and the rollout in flight, with a hint', async () => {
    const { ctx, fake } = fakeContext();
    failing(fake, 'k8s-node2');
    expect(await run({ ctx })).toMatchObject({
      outcome: 'failed',
      message: 'update_k8s on k8s-node2 failed with exit code 1: kubeadm gave up',
      hint: expect.stringMatching(
        /^k8s-node2 stays cordoned at 1\.34\.2\. Its log is on k8s-node2 .*run again/,
      ),
    });
    expect(effectsOn(fake, 'k8s-node2').at(-1)).toContain('update_k8s');
    expect(fake.node('k8s-node2')).toMatchObject({ unschedulable: true, cordonedByUs: true });
    expect(effectsOn(fake, 'k8s-node1')).toEqual([]);
    expect(fake.inFlight).toBeDefined();
  });

  it('is what the run reports even when the node cannot be read afterwards', async () => {
    const { ctx, fake } = fakeContext();
    const { nodes } = ctx.cluster;
    failing(fake, 'k8s-node2', () => {
      ctx.cluster.nodes = async () => {
        ctx.cluster.nodes = nodes;
        throw new UpgradeError('failed', 'list nodes: no answer from the API server');
      };
    });
    expect(await run({ ctx })).toMatchObject({
      outcome: 'failed',
      message: 'update_k8s on k8s-node2 failed with exit code 1: kubeadm gave up',
    });
    expect(fake.node('k8s-node2')).toMatchObject({ unschedulable: true, cordonedByUs: true });
  });

  it('is forgiven when its node is at the target and Ready (F20)', async () => {
    const { ctx, fake } = fakeContext();
    failing(fake, 'k8s-master', () => {
      fake.change('k8s-master', { release: target });
      fake.server = target;
    });
    expect((await run({ ctx })).outcome).toBe('done');
    expect(eventsOf(fake, 'notice').map((event) => event.text)).toContainEqual(
      expect.stringContaining('but the node is Ready at 1.34.5, continuing'),
    );
  });

  it('is not forgiven for a kubelet that was at the target from the start', async () => {
    const inProgress = { release: target, changedAt: Date.now() - 30_000, unfinished: true };
    const nodes = [master({ release: target }), worker('k8s-node2', inProgress)];
    const { ctx, fake } = fakeContext({ inFlight: {}, nodes, server: target });
    failing(fake, 'k8s-node2');
    expect(await run({ ctx })).toMatchObject({ outcome: 'failed' });
  });

  it('is not forgiven when its node is at the target and not Ready', async () => {
    const { ctx, fake } = fakeContext();
    failing(fake, 'k8s-node2', () => fake.change('k8s-node2', { release: target, ready: false }));
    expect(await run({ ctx })).toMatchObject({
      outcome: 'failed',
      message: 'update_k8s on k8s-node2 failed with exit code 1: kubeadm gave up',
    });
  });

  it('or a node that does not become Ready leaves the node cordoned', async () => {
    const { ctx, fake } = fakeContext();
    fake.onScript = async (node) => fake.change(node, { ready: node !== 'k8s-node2' });
    expect(await run({ ctx })).toMatchObject({
      outcome: 'failed',
      message: expect.stringContaining('waiting for k8s-node2 to be Ready at 1.34.5: gave up'),
      hint: expect.stringMatching(
        /^k8s-node2 stays cordoned at 1\.34\.5\. See journalctl -u kubelet .*run again/,
      ),
    });
    expect(fake.node('k8s-node2')).toMatchObject({ unschedulable: true, cordonedByUs: true });
  });

  it('or exceeds its time limit leaves its node cordoned; the hint says that it may still run and names its log', async () => {
    const { ctx, fake } = fakeContext();
    fake.onScript = async (node, _script, args) => {
      const at = { name: node, address: '10.0.20.5', user: 'wizard', port: 22 };
      if (node === 'k8s-node2' && args.includes('kubelet'))
        throw new ConnectionError(at, 'no end within the time limit');
    };
    const { outcome, hint } = await run({ ctx });
    expect(outcome).toBe('failed');
    expect(hint).toContain('k8s-node2 stays cordoned at 1.34.2. update_k8s.sh may still be running there');
    expect(hint).toContain(
      '/var/log/k8s-upgrade/update_k8s.log. Try it yourself: ssh -p 22 wizard@10.0.20.5',
    );
    expect(fake.node('k8s-node2')).toMatchObject({ unschedulable: true, cordonedByUs: true });
  });

  it('or a host key that has changed since preflight (F27) leaves its node cordoned, with that hint', async () => {
    const { ctx, fake } = fakeContext();
    fake.onScript = async (node, _script, args) => {
      if (node === 'k8s-node2' && args.includes('kubelet'))
        throw new UpgradeError('blocked', 'another host key', { hint: 'Compare it.' });
    };
    expect(await run({ ctx })).toMatchObject({
      outcome: 'failed',
      message: 'another host key',
      hint: expect.stringMatching(/^k8s-node2 stays cordoned at 1\.34\.2\. Compare it\. /),
    });
    expect(effectsOn(fake, 'k8s-node1')).toEqual([]);
  });

  it('or an API server that did not change ends the run after the control plane', async () => {
    const { ctx, fake } = fakeContext();
    const { server } = fake;
    fake.onScript = async (node, _script, args) => {
      if (args.includes('kubeadm')) return;
      Object.assign(fake, { server });
      fake.change(node, { release: target });
      throw new ScriptError(node, 'update_k8s', 1, []);
    };
    expect(await run({ ctx })).toMatchObject({
      outcome: 'failed',
      message: expect.stringContaining('the API server of k8s-master is still older than 1.34.5'),
    });
    expect(effectsOn(fake, 'k8s-node2')).toEqual([]);
  });
});

describe('the node that the run is on (F1)', () => {
  it('is left to the next Job, after everything else', async () => {
    const { ctx, fake } = fakeContext({ ownNode: 'k8s-node2' });
    expect(await run({ ctx })).toMatchObject({ outcome: 'done', handedOff: true });
    expect(effectsOn(fake, 'k8s-node2')).toEqual([]);
    expect(fake.effects.slice(-2)).toEqual(['k8s-node1 annotate soaking-', 'next Job, not on k8s-node2']);
    expect(eventsOf(fake, 'run-ended')).toEqual([]);
    expect(eventsOf(fake, 'handed-off')).toEqual([
      { type: 'handed-off', job: 'job-2', why: 'this process runs on k8s-node2' },
    ]);
    expect(fake.inFlight).toBeDefined();
  });

  it('is not drained if it is the control plane, and neither are the workers', async () => {
    const { ctx, fake } = fakeContext({ ownNode: 'k8s-master' });
    expect(await run({ ctx })).toMatchObject({ handedOff: true });
    expect(fake.effects.filter((effect) => effect.endsWith('drain'))).toEqual([]);
  });
});

describe('a node that leaves the cluster', () => {
  it('during its soak does not stop the rollout', async () => {
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

  it('during its drain fails the run, which names it', async () => {
    const { ctx, fake } = fakeContext();
    fake.onDrain = async (node) => {
      if (node !== 'k8s-node2') return;
      fake.nodes = fake.nodes.filter((one) => one.name !== node);
      throw new BlockedError('time-out', []);
    };
    expect(await run({ ctx })).toMatchObject({
      outcome: 'failed',
      message: 'node k8s-node2 has left the cluster during its upgrade',
    });
    expect(effectsOn(fake, 'k8s-node1')).toEqual([]);
  });
});
