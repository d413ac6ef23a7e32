import { expect, test } from 'vitest';
import { parseRelease } from '../release.ts';
import { clusterNode } from '../testing/cluster.ts';
import { fakeContext, master } from '../testing/fake-context.ts';
import { imagePod } from '../testing/gate-context.ts';
import { run, target, upgraded } from '../testing/run.ts';
import { planSteps } from './plan.ts';

/** An API server that somebody left behind beside a kubelet that is at the target. */

const scripts = (effects: readonly string[]) => effects.filter((effect) => effect.includes('update_k8s --'));
const left = (options: { ownNode?: string } = {}) =>
  fakeContext({
    nodes: [master({ release: target }), clusterNode('k8s-node1', { release: target })],
    server: '1.34.4',
    ...options,
  });

test('is upgraded, after a snapshot', async () => {
  const { ctx, fake } = left();
  const steps = await planSteps(ctx);
  expect(steps).toContainEqual(expect.stringContaining('k8s-master  1.34.5 → 1.34.5: drain'));
  expect(await run({ ctx })).toMatchObject({
    outcome: 'done',
    message: expect.stringMatching(/^upgrade finished/),
  });
  expect(fake.server).toBe(target);
  expect(scripts(fake.effects)).toEqual(['k8s-master update_k8s --role master --release 1.34.5']);
  expect(fake.effects.indexOf('k8s-master snapshot before 1.34.5')).toBeGreaterThan(-1);
  expect(fake.effects.indexOf('k8s-master snapshot before 1.34.5')).toBeLessThan(
    fake.effects.indexOf(upgraded('k8s-master', 'master', 'none')[0] ?? ''),
  );
});

test('beside two that were not is found by its image', async () => {
  const names = ['k8s-master', 'k8s-master2', 'k8s-master3'];
  const nodes = names.map((name, i) => master({ name, address: `10.0.0.1${i}`, release: target }));
  const { ctx, fake } = fakeContext({ nodes, server: target });
  const pods = names.map((nodeName, i) => {
    const image = `registry.k8s.io/kube-apiserver:v${i === 1 ? '1.34.4' : target}`;
    const labels = { component: 'kube-apiserver', tier: 'control-plane' };
    const made = imagePod('kube-system', `kube-apiserver-${nodeName}`, image, { metadata: { labels } });
    const status = { phase: 'Running', conditions: [{ type: 'Ready', status: 'True' }] };
    return {
      ...made,
      metadata: { ...made.metadata, namespace: 'kube-system', name: `kube-apiserver-${nodeName}` },
      spec: { containers: made.spec?.containers ?? [], nodeName },
      status,
    };
  });
  fake.pods = [...fake.pods, ...pods];
  expect((await run({ ctx })).outcome).toBe('done');
  expect(scripts(fake.effects)).toEqual(['k8s-master2 update_k8s --role worker --release 1.34.5']);
});

test('that stays behind is not upgraded again and again: the run fails', async () => {
  const { ctx, fake } = left();
  const { script } = ctx.shell;
  ctx.shell.script = async (...args) => {
    const result = await script(...args);
    fake.server = parseRelease('test', '1.34.4');
    return result;
  };
  expect(await run({ ctx })).toMatchObject({
    outcome: 'failed',
    message: 'the control plane was upgraded, and the API server still answers 1.34.4',
  });
  expect(scripts(fake.effects)).toHaveLength(1);
});

test('is left to the next leg by one that runs beside it', async () => {
  const { ctx, fake } = left({ ownNode: 'k8s-master' });
  expect(await run({ ctx })).toMatchObject({ handedOff: true });
  expect(scripts(fake.effects)).toEqual([]);
  expect(fake.effects).toContain('next leg, not on k8s-master');
});
