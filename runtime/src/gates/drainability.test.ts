import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type TestLab, until } from '../../../test/lab/api/testing.ts';
import type { KubeObject } from '../../../test/lab/api/types.ts';
import { clusterReader } from '../cluster/reader.ts';
import { parseRelease } from '../release.ts';
import { connect, disruptionBudget, runningPod, startLab } from '../testing/api.ts';
import { testSettings } from '../testing/cluster.ts';
import { checkGates, type GateContext } from './gate.ts';
import { preflightGates } from './gates.ts';

let lab: TestLab;
beforeEach(async () => {
  lab = await startLab();
});
afterEach(() => lab.stop());

async function seed(...objects: KubeObject[]): Promise<void> {
  lab.api.apply(objects);
  await until(lab.api, () =>
    lab.api.store.list('pods').every((pod) => pod.status?.phase === 'Running') ? true : undefined,
  );
  await lab.api.settled();
}

/** What the gate says of draining every node that is not at the target yet. */
async function ask(user: Parameters<typeof connect>[2] = 'admin', target = '1.34.5') {
  const client = connect(lab, {}, user);
  const cluster = clusterReader(client, testSettings());
  const nodes = await clusterReader(connect(lab), testSettings()).nodes();
  const ctx = { client, cluster, nodes, target: parseRelease('test', target) } as unknown as GateContext;
  const [verdict] = await checkGates(
    preflightGates.filter((gate) => gate.name === 'drain'),
    ctx,
  );
  if (verdict === undefined) throw new Error('no such gate');
  return verdict;
}

describe('whether every node can be drained, before the first cordon (F17)', () => {
  it('is so without budgets; nothing is evicted or cordoned for it', async () => {
    await seed(runningPod('web', 'one'), runningPod('db', 'two'));
    expect(await ask()).toMatchObject({ open: true, reasons: [], notes: [] });
    expect(lab.api.store.list('pods', 'apps')).toHaveLength(2);
    const evictions = lab.api.requests.matching({ subresource: 'eviction' });
    expect(evictions.map((one) => one.dryRun)).toEqual([true, true]);
    expect(lab.api.store.list('nodes').some((node) => node.spec?.unschedulable)).toBe(false);
  });

  it('names every pod and budget that never allows it', async () => {
    await seed(
      runningPod('web', 'one'),
      runningPod('db', 'two'),
      disruptionBudget('always', 'web', { minAvailable: 1 }),
      disruptionBudget('never', 'db', { minAvailable: 1 }),
    );
    const never = (pod: string, node: string, budget: string) =>
      `apps/${pod} on ${node}: PodDisruptionBudget apps/${budget} (0 allowed now: 1 healthy, 1 needed) never allows its eviction`;
    const { open, unknown, reasons } = await ask();
    expect([open, unknown]).toEqual([false, false]);
    expect([...reasons].sort()).toEqual([never('db', 'two', 'never'), never('web', 'one', 'always')]);
  });

  it('is not asked of nodes that are at the target', async () => {
    await seed(runningPod('web', 'one'), disruptionBudget('always', 'web', { minAvailable: 1 }));
    expect((await ask('admin', '1.34.2')).open).toBe(true);
  });

  it('only notes a budget that allows none at this moment', async () => {
    await seed(
      runningPod('a', 'one', { labels: { app: 'web' } }),
      runningPod('b', 'two', { labels: { app: 'web' } }),
      disruptionBudget('one-by-one', 'web', { minAvailable: 1 }),
    );
    lab.api.store.modify('pods', 'apps', 'b', (pod) => {
      pod.status = { ...pod.status, conditions: [{ type: 'Ready', status: 'False' }] } as never;
    });
    await lab.api.settled();
    const { open, notes } = await ask();
    expect(open).toBe(true);
    expect(notes).toContainEqual(
      expect.stringMatching(/^apps\/a on one: .*needs 1 healthy pods.*; the drain will wait$/),
    );
  });

  it('names what the eviction itself is refused for', async () => {
    await seed(
      runningPod('web', 'one'),
      disruptionBudget('first', 'web', { minAvailable: 0 }),
      disruptionBudget('second', 'web', { minAvailable: 0 }),
    );
    expect((await ask()).reasons).toEqual([
      expect.stringMatching(/^apps\/web on one: .*more than one PodDisruptionBudget/),
    ]);
  });

  it('is unknown, and closed, to who may not ask (F30, F31)', async () => {
    expect(await ask({ namespace: 'apps', serviceAccount: 'nobody' })).toMatchObject({
      open: false,
      unknown: true,
      closes: 'blocked',
      reasons: [expect.stringContaining('unknown, so closed: list')],
    });
  });
});
