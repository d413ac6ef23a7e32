import { expect, it } from 'vitest';
import { ScriptError } from '../nodes/node-shell.ts';
import { fakeContext, master } from '../testing/fake-context.ts';
import { of, run, target, toldOf, worker } from '../testing/run.ts';

const nodes = () => [master({ containerd: '1.7.27' }), worker('k8s-node1', { containerd: '1.7.28' })];

const failing = (exitCode: number) => {
  const { ctx, fake } = fakeContext({ nodes: nodes() });
  fake.onScript = async (node, name) => {
    if (name === 'update_containerd')
      throw new ScriptError(node, name, exitCode, [
        'error: no repository of this node offers containerd 1.7.28',
      ]);
  };
  return { ctx, fake };
};

it('a control plane whose package manager has not the workers’ containerd keeps its own, and is upgraded', async () => {
  const { ctx, fake } = failing(4);
  expect((await run({ ctx })).outcome).toBe('done');
  expect(of(fake, 'k8s-master')).toContain('k8s-master update_containerd --version 1.7.28');
  expect(fake.node('k8s-master')).toMatchObject({ release: target, unfinished: false });
  expect(toldOf(fake, 'notice').map(({ text }) => text)).toContainEqual(
    expect.stringMatching(/no repository .* going on with containerd as it is on k8s-master$/),
  );
});

it('a containerd that fails to be updated ends the run before the control plane', async () => {
  const { ctx, fake } = failing(1);
  expect((await run({ ctx })).outcome).toBe('failed');
  expect(of(fake, 'k8s-master').some((effect) => effect.includes('update_k8s'))).toBe(false);
});
