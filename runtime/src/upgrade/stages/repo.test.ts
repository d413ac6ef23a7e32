import { describe, expect, it } from 'vitest';
import { parseRelease } from '../../release.ts';
import { type FakeCluster, fakeContext } from '../../testing/fake-context.ts';
import { effectsOn, eventsOf, run, worker } from '../../testing/run.ts';

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

  it('is switched on a node that has joined, before its drain and after a check of its compatibility (F26)', async () => {
    const { ctx, fake } = fakeContext(minor);
    const { read } = ctx.shell;
    const checked: string[] = [];
    ctx.shell.read = async (node, words) => {
      if (words[0] === 'bash') checked.push(node.name);
      return read(node, words);
    };
    fake.onDrain = async (node) => {
      if (node === 'k8s-node1') fake.nodes = [...fake.nodes, worker('k8s-node9')];
    };
    expect((await run({ ctx })).outcome).toBe('done');
    expect(effectsOn(fake, 'k8s-node9').slice(0, 3)).toEqual([
      'k8s-node9 set_repository --minor 1.35 --url https://pkgs.k8s.io/core:/stable:/',
      'k8s-node9 prepare --role worker --release 1.35.1',
      'k8s-node9 annotate touched daemon-sets unfinished',
    ]);
    expect(switched(fake).filter((effect) => effect.startsWith('k8s-node2'))).toHaveLength(1);
    expect(checked).toContain('k8s-node9');
  });

  it('stays on a node that has joined and does not fit the minor', async () => {
    const { ctx, fake } = fakeContext(minor);
    const old = worker('k8s-node9', { release: parseRelease('t', '1.34.2') });
    const { read } = ctx.shell;
    ctx.shell.read = async (node, words) =>
      words[0] === 'bash' && node.name === old.name
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
    expect(effectsOn(fake, 'k8s-node9')).toEqual([]);
  });

  it('stays for a patch', async () => {
    const { ctx, fake } = fakeContext();
    await run({ ctx });
    expect(switched(fake)).toEqual([]);
    expect(eventsOf(fake, 'stage-skipped')).toContainEqual(expect.objectContaining({ stage: 'repo' }));
  });
});
