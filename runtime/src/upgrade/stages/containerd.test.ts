import { describe, expect, it, test } from 'vitest';
import { BlockedError } from '../../errors.ts';
import { ScriptError } from '../../ssh/node-shell.ts';
import { type FakeCluster, fakeContext, master } from '../../testing/fake-context.ts';
import { effectsOn, eventsOf, run, target, worker } from '../../testing/run.ts';

describe('containerd', () => {
  const updates = (fake: FakeCluster) => fake.effects.filter((effect) => effect.includes('containerd'));
  test.each([
    [
      'behind every worker: upgraded to the oldest version on them',
      '1.7.20',
      ['1.7.27', '1.7.24'],
      ['--version 1.7.24'],
    ],
    ['behind by number, not by string order', '1.7.9', ['1.7.10'], ['--version 1.7.10']],
    ['behind workers of 1.7.9 and 1.7.10', '1.7.8', ['1.7.10', '1.7.9'], ['--version 1.7.9']],
    ['behind one worker only', '1.7.24', ['1.7.27', '1.7.24'], []],
    ['ahead', '2.1.0', ['1.7.27'], []],
    ['a major behind', '1.7.27', ['2.1.0'], []],
    ['beside a worker with another runtime', '1.7.20', ['1.7.27', undefined], []],
    ['another runtime itself', undefined, ['1.7.27'], []],
    ['without workers', '1.7.20', [], []],
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

  it('is a change of this rollout: annotated as unfinished only while the script runs', async () => {
    const { ctx, fake } = fakeContext({ stages: 'containerd', nodes: [master(old), current('k8s-node1')] });
    expect((await run({ ctx })).outcome).toBe('done');
    expect(effectsOn(fake, 'k8s-master')).toEqual([
      'k8s-master annotate touched daemon-sets unfinished',
      `k8s-master ${update}`,
      'k8s-master annotate unfinished-',
    ]);
  });

  it('leaves nothing unfinished on a node at the target, which no drain will finish (F5)', async () => {
    const done = { ...old, release: target };
    const { ctx, fake } = fakeContext({ inFlight: {}, nodes: [master(done), current('k8s-node1')] });
    fake.onScript = async (_node, name) => {
      if (name === 'update_containerd') throw new Error('killed here');
    };
    await expect(run({ ctx })).rejects.toThrow('killed here');
    expect(effectsOn(fake, 'k8s-master')).toContain('k8s-master annotate touched daemon-sets');
    expect(fake.node('k8s-master').unfinished).toBe(false);
  });

  it('leaves a node in progress for the stage master to finish', async () => {
    const inProgress = { ...old, unschedulable: true, cordonedByUs: true, changedAt: Date.now() - 1_000 };
    const { ctx, fake } = fakeContext({ inFlight: {}, nodes: [master(inProgress), current('k8s-node1')] });
    expect((await run({ ctx })).outcome).toBe('done');
    expect(effectsOn(fake, 'k8s-master').slice(2, 5)).toEqual([
      `k8s-master ${update}`,
      'k8s-master drain',
      'k8s-master update_k8s --role master --release 1.34.5 --planned',
    ]);
  });

  it('does not keep the cordon of a drain that fails later, and a node that a person cordoned stays unfinished', async () => {
    const { ctx, fake } = fakeContext({ nodes: [master(old), current('k8s-node1')] });
    fake.onDrain = async () => {
      throw new BlockedError('no', ['budget']);
    };
    expect((await run({ ctx })).outcome).toBe('blocked');
    expect(fake.node('k8s-master')).toMatchObject({ unschedulable: false, changedAt: expect.any(Number) });
    const cordoned = fakeContext({
      nodes: [master({ ...old, unschedulable: true }), current('k8s-node1')],
      settings: { timing: { soak: '0s' } },
    });
    await run(cordoned);
    expect(effectsOn(cordoned.fake, 'k8s-master')).toContain('k8s-master annotate unfinished');
  });

  it('waits until the other control-plane nodes are healthy', async () => {
    const second = master({ ...old, name: 'k8s-master2', address: '10.0.0.99' });
    const { ctx, fake } = fakeContext({ nodes: [master(old), second, current('k8s-node1')] });
    fake.onScript = async (node, name) => {
      if (name === 'update_containerd') fake.change(node, { ready: false, containerd: '1.7.28' });
    };
    expect(await run({ ctx })).toMatchObject({
      outcome: 'blocked',
      message: 'stopped before containerd of k8s-master2:\n  - nodes: node k8s-master is not Ready',
    });
    expect(effectsOn(fake, 'k8s-master2')).toEqual([]);
  });
});

const behind = () => [master({ containerd: '1.7.27' }), worker('k8s-node1', { containerd: '1.7.28' })];

const failing = (exitCode: number) => {
  const { ctx, fake } = fakeContext({ nodes: behind() });
  fake.onScript = async (node, name) => {
    if (name === 'update_containerd')
      throw new ScriptError(node, name, exitCode, [
        'error: no repository of this node offers containerd 1.7.28',
      ]);
  };
  return { ctx, fake };
};

it('a control plane that is not offered the workers’ containerd keeps its own and is upgraded', async () => {
  const { ctx, fake } = failing(4);
  expect((await run({ ctx })).outcome).toBe('done');
  expect(effectsOn(fake, 'k8s-master')).toContain('k8s-master update_containerd --version 1.7.28');
  expect(fake.node('k8s-master')).toMatchObject({ release: target, unfinished: false });
  expect(eventsOf(fake, 'notice').map(({ text }) => text)).toContainEqual(
    expect.stringMatching(/no repository .* continuing with containerd as it is on k8s-master$/),
  );
});

it('a failed update of containerd ends the run before the upgrade of the control plane', async () => {
  const { ctx, fake } = failing(1);
  expect((await run({ ctx })).outcome).toBe('failed');
  expect(effectsOn(fake, 'k8s-master').some((effect) => effect.includes('update_k8s'))).toBe(false);
});
