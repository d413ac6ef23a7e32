import { describe, expect, it, test } from 'vitest';
import { clusterWriter } from '../cluster/writer.ts';
import { disruptionBudget } from '../testing/api.ts';
import { blockedPodsLabs, rule } from '../testing/blocked-pods.ts';
import { clusterNode } from '../testing/cluster.ts';
import { fakeContext, master } from '../testing/fake-context.ts';
import { run } from '../testing/run.ts';
import { dryRunPorts } from './dry-run.ts';

/** Runs a whole dry-run; `scripts` are the runs of update_k8s.sh that it announces. */
async function dryRun(options: Parameters<typeof fakeContext>[0]) {
  const { ctx, fake } = fakeContext(options);
  const announced: string[] = [];
  const real = { ...ctx, drainSettings: ctx.settings.drain };
  const { drain: _, ...ports } = dryRunPorts(
    real,
    ctx.request.target,
    (action) => void announced.push(action),
  );
  const request = { ...ctx.request, dryRun: true };
  const drain = async () => ({ evicted: [] });
  const result = await run({ ctx: { ...ctx, ...ports, drain, request } });
  const scripts = announced.filter((action) => action.includes('update_k8s.sh --role'));
  const prepared = announced.filter((action) => action.includes('update_k8s.sh --prepare'));
  return { result, scripts, prepared, fake };
}

test.each([
  ['the unfinished annotation and a person’s cordon', { unfinished: true, unschedulable: true }],
  ['the cordon of this rollout', { cordonedByUs: true, unschedulable: true }],
])('announces one upgrade of a node with %s', async (_what, inProgress) => {
  const nodes = [master(), clusterNode('k8s-node1', inProgress), clusterNode('k8s-node2')];
  const { result, scripts } = await dryRun({ nodes, inFlight: {} });
  expect(result.outcome).toBe('done');
  expect(scripts.filter((action) => action.startsWith('run'))).toEqual([
    'run update_k8s.sh --role master --release 1.34.5 --steps kubeadm --planned on k8s-master',
    'run update_k8s.sh --role master --release 1.34.5 --steps kubelet on k8s-master',
    'run update_k8s.sh --role worker --release 1.34.5 on k8s-node1',
    'run update_k8s.sh --role worker --release 1.34.5 --steps kubeadm on k8s-node2',
    'run update_k8s.sh --role worker --release 1.34.5 --steps kubelet on k8s-node2',
  ]);
});

test('announces one upgrade of each of several API servers', async () => {
  const names = ['k8s-master', 'k8s-master2'];
  const nodes = names.map((name, i) => master({ name, address: `10.0.0.1${i}` }));
  const { result, scripts } = await dryRun({ nodes });
  expect(result.outcome).toBe('done');
  expect(scripts).toHaveLength(4);
});

test('announces the preparation of each node, and prepares none', async () => {
  const { prepared, fake } = await dryRun({ nodes: [master(), clusterNode('k8s-node1')] });
  expect(prepared).toEqual([
    'run update_k8s.sh --prepare --role master --release 1.34.5 on k8s-master',
    'run update_k8s.sh --prepare --role worker --release 1.34.5 on k8s-node1',
  ]);
  expect(fake.effects.filter((effect) => effect.includes('prepare'))).toEqual([]);
});

describe('pods that may be deleted, in a dry-run', () => {
  const { here, context, seed, unchanged } = blockedPodsLabs();
  const dryDrain = async (blockedPods: Parameters<typeof context>[0]) => {
    const { ctx, client } = context(blockedPods);
    const announced: string[] = [];
    const writer = clusterWriter(client, 'k8s-upgrade', (action) => announced.push(action));
    const real = { ...ctx, writer, drainSettings: ctx.settings.drain };
    const ports = dryRunPorts(real, ctx.request.target, () => {});
    const drained = await ports
      .drain(
        clusterNode('two'),
        async () => 'already',
        () => {},
      )
      .catch((error) => error);
    return { drained, announced };
  };
  const deletions = () => here().lab.api.requests.matching({ resource: 'pods', verb: 'delete' });

  it('announces that it would delete them, and checks that it is allowed to', async () => {
    await seed();
    const { drained, announced } = await dryDrain([rule]);
    expect([...drained.evicted].sort()).toEqual(['apps/free', 'apps/web']);
    expect(announced).toContain('delete pod apps/web, whose eviction is refused');
    expect(deletions().map((one) => [one.name, one.dryRun, one.status])).toEqual([['web', true, 200]]);
    unchanged();
  });

  it('deletes no other pod, and stops like a drain at a pod under several budgets', async () => {
    await seed();
    expect((await dryDrain([])).announced.filter((text) => text.startsWith('delete'))).toEqual([]);
    here().lab.api.apply([disruptionBudget('second', 'web', { minAvailable: 0 })]);
    await here().lab.api.settled();
    expect((await dryDrain([rule])).drained).toMatchObject({
      message: expect.stringContaining('more than one PodDisruptionBudget'),
    });
    expect(deletions()).toEqual([]);
    unchanged();
  });
});
