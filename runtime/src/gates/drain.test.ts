import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { namespace, type TestLab, until } from '../../../test/lab/api/testing.ts';
import type { KubeObject } from '../../../test/lab/api/types.ts';
import { clusterReader } from '../cluster/reader.ts';
import { parseRelease } from '../release.ts';
import { annotationsReader } from '../rollout/node-annotations.ts';
import { remaining } from '../rollout/remaining.ts';
import type { Settings } from '../settings/settings.ts';
import { connect, disruptionBudget, runningPod, startLab } from '../testing/api.ts';
import { testSettings } from '../testing/cluster.ts';
import { inFlightSince } from '../testing/fake-context.ts';
import { checkGates, type GateContext } from './gate.ts';
import { preflightGates } from './index.ts';

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

const inFlight = inFlightSince(Date.now() - 60_000);
const forRollout = async () => annotationsReader('viktorbarzin.me', inFlight);

/** Checks the gate for every node that is not at the target yet. */
async function check(
  user: Parameters<typeof connect>[2] = 'admin',
  target = '1.34.5',
  settings: Settings = testSettings(),
) {
  const client = connect(lab, {}, user);
  const cluster = clusterReader(client, settings, forRollout);
  const nodes = await clusterReader(connect(lab), testSettings(), forRollout).nodes();
  const to = parseRelease('test', target);
  const left = () => remaining(cluster, to, nodes);
  const ctx = {
    ...{ settings, client, cluster, nodes, remaining: left },
    target: to,
  } as unknown as GateContext;
  const [verdict] = await checkGates(
    preflightGates.filter((gate) => gate.name === 'drain'),
    ctx,
  );
  if (verdict === undefined) throw new Error('no such gate');
  return verdict;
}

describe('the gate drain, before the first cordon (F17)', () => {
  it('is open without budgets, and the check evicts and cordons nothing', async () => {
    await seed(runningPod('web', 'one'), runningPod('db', 'two'));
    expect(await check()).toMatchObject({ open: true, reasons: [], notes: [] });
    expect(lab.api.store.list('pods', 'apps')).toHaveLength(2);
    const evictions = lab.api.requests.matching({ subresource: 'eviction' });
    expect(evictions.map((one) => one.dryRun)).toEqual([true, true]);
    expect(lab.api.store.list('nodes').some((node) => node.spec?.unschedulable)).toBe(false);
  });

  it('also checks a node at the target that is in progress or whose API server is behind', async () => {
    const never = disruptionBudget('always', 'web', { minAvailable: 1 });
    await seed(runningPod('web', 'one'), never);
    const change = (labels: Record<string, string>, annotations: Record<string, string>) =>
      lab.api.store.modify('nodes', undefined, 'one', (node) => {
        node.metadata = { ...node.metadata, labels, annotations };
        node.spec = { ...node.spec, unschedulable: Object.keys(annotations).length > 0 };
        if (node.status?.nodeInfo) node.status.nodeInfo.kubeletVersion = 'v1.34.9';
      });
    change({}, {});
    lab.api.setVersion('1.34.9');
    expect(await check('admin', '1.34.9')).toMatchObject({ open: true });
    change({}, { 'viktorbarzin.me/k8s-upgrade-cordoned': inFlight.started });
    expect(await check('admin', '1.34.9')).toMatchObject({ open: false });
    change({ 'node-role.kubernetes.io/control-plane': '' }, {});
    lab.api.setVersion('1.34.8');
    expect(await check('admin', '1.34.9')).toMatchObject({ open: false });
  });

  it('names every pod whose eviction a budget never allows, with the budget', async () => {
    await seed(
      runningPod('web', 'one'),
      runningPod('db', 'two'),
      disruptionBudget('always', 'web', { minAvailable: 1 }),
      disruptionBudget('never', 'db', { minAvailable: 1 }),
    );
    const never = (pod: string, node: string, budget: string) =>
      `apps/${pod} on ${node}: PodDisruptionBudget apps/${budget} (0 allowed now: 1 healthy, 1 needed) never allows its eviction`;
    const { open, unknown, reasons } = await check();
    expect([open, unknown]).toEqual([false, false]);
    expect([...reasons].sort()).toEqual([never('db', 'two', 'never'), never('web', 'one', 'always')]);
  });

  it('does not check nodes that are at the target', async () => {
    await seed(runningPod('web', 'one'), disruptionBudget('always', 'web', { minAvailable: 1 }));
    expect((await check('admin', '1.34.2')).open).toBe(true);
  });

  it('only notes a budget that allows no eviction at the moment', async () => {
    await seed(
      runningPod('a', 'one', { labels: { app: 'web' } }),
      runningPod('b', 'two', { labels: { app: 'web' } }),
      disruptionBudget('one-by-one', 'web', { minAvailable: 1 }),
    );
    lab.api.store.modify('pods', 'apps', 'b', (pod) => {
      pod.status = { ...pod.status, conditions: [{ type: 'Ready', status: 'False' }] } as never;
    });
    await lab.api.settled();
    const { open, notes } = await check();
    expect(open).toBe(true);
    expect(notes).toContainEqual(
      expect.stringMatching(/^apps\/a on one: .*needs 1 healthy pods.*; the drain will wait$/),
    );
  });

  it('gives the reason for which the eviction itself is refused', async () => {
    await seed(
      runningPod('web', 'one'),
      disruptionBudget('first', 'web', { minAvailable: 0 }),
      disruptionBudget('second', 'web', { minAvailable: 0 }),
    );
    expect((await check()).reasons).toEqual([
      expect.stringMatching(/^apps\/web on one: .*more than one PodDisruptionBudget/),
    ]);
  });

  it('is unknown, and closed, without the permission to check (F30, F31)', async () => {
    expect(await check({ namespace: 'apps', serviceAccount: 'nobody' })).toMatchObject({
      open: false,
      unknown: true,
      outcomeWhenClosed: 'blocked',
      reasons: [expect.stringContaining('unknown, so closed: list')],
    });
  });
});

describe('pods that drain.blockedPods names', () => {
  const rule = { disruptionBudgets: ['apps/always'], wait: '1m', deleteAfter: '2m' };
  const naming = (...blockedPods: object[]) =>
    testSettings({ drain: { blockedPods } } as Parameters<typeof testSettings>[0]);
  const two = () =>
    seed(
      runningPod('web', 'one'),
      runningPod('db', 'two'),
      disruptionBudget('always', 'web', { minAvailable: 1 }),
      disruptionBudget('never', 'db', { minAvailable: 1 }),
    );

  it('are noted with what will happen to them; the gate is still closed for the others', async () => {
    await two();
    const { open, reasons, notes } = await check('admin', '1.34.5', naming(rule));
    expect(open).toBe(false);
    expect(reasons).toEqual([expect.stringMatching(/^apps\/db on two: PodDisruptionBudget apps\/never/)]);
    expect(notes).toEqual([
      'one pod will be deleted if the eviction stays refused:\n  - apps/web on one: PodDisruptionBudget apps/always (0 allowed now: 1 healthy, 1 needed) never allows its eviction; deleted when still refused after 3m (drain.blockedPods.0)',
    ]);
  });

  it('leave the gate open when no others remain, are in one note, and are not deleted', async () => {
    await two();
    const { open, notes } = await check('admin', '1.34.5', naming(rule, { namespaces: ['apps'] }));
    expect(open).toBe(true);
    expect(notes).toEqual([
      expect.stringMatching(/^2 pods will be deleted.*apps\/db on two.*apps\/web on one/s),
    ]);
    expect(lab.api.store.list('pods', 'apps')).toHaveLength(2);
    const deletions = lab.api.requests.matching({ resource: 'pods', verb: 'delete' });
    expect(deletions.map((one) => one.dryRun)).toEqual([true, true]);
  });

  it('are noted when several budgets match one, which every eviction refuses', async () => {
    await seed(
      runningPod('web', 'one'),
      disruptionBudget('first', 'web', { minAvailable: 0 }),
      disruptionBudget('second', 'web', { minAvailable: 0 }),
    );
    const named = await check('admin', '1.34.5', naming({ namespaces: ['apps'] }));
    expect([named.open, named.notes]).toEqual([true, [expect.stringContaining('more than one')]]);
    const one = naming({ disruptionBudgets: ['apps/first'] });
    expect((await check('admin', '1.34.5', one)).open).toBe(false);
  });

  it('are reasons of the closed gate when deleting them is forbidden', async () => {
    await two();
    const account = { namespace: 'apps', serviceAccount: 'may-not-delete' };
    const metadata = { name: 'may-not-delete' };
    const rbac = { apiVersion: 'rbac.authorization.k8s.io/v1', metadata };
    lab.api.apply([
      {
        ...rbac,
        kind: 'ClusterRole',
        rules: [
          { apiGroups: ['', 'policy'], resources: ['pods', 'poddisruptionbudgets'], verbs: ['list'] },
          { apiGroups: [''], resources: ['pods/eviction'], verbs: ['create'] },
        ],
      },
      {
        ...rbac,
        kind: 'ClusterRoleBinding',
        roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: metadata.name },
        subjects: [{ kind: 'ServiceAccount', namespace: 'apps', name: account.serviceAccount }],
      },
    ] as KubeObject[]);
    const { open, reasons } = await check(account, '1.34.5', naming({ namespaces: ['apps'] }));
    expect(open).toBe(false);
    expect(reasons).toEqual([
      expect.stringMatching(/^apps\/db on two: .*and it cannot be deleted: .*cannot delete resource "pods"/),
      expect.stringMatching(/^apps\/web on one: .*and it cannot be deleted: /),
    ]);
  });

  it('a finished pod is evicted whatever its budget, which does not count it', async () => {
    await seed(
      runningPod('web', 'one'),
      runningPod('web-done', 'one', {
        metadata: { name: 'web-done', namespace: 'apps', labels: { app: 'web' } },
        spec: { restartPolicy: 'Never' },
      }),
      disruptionBudget('always', 'web', { minAvailable: 1 }),
    );
    await until(lab.api, () =>
      lab.api.store.get('pods', 'apps', 'web-done')?.status?.phase === 'Succeeded' ? true : undefined,
    );
    await lab.api.settled();
    expect((await check()).reasons).toEqual([expect.stringMatching(/^apps\/web on one: /)]);
  });

  it('a pod in a namespace that is being deleted is noted: the drain will wait', async () => {
    await seed(namespace('going'), runningPod('last', 'one', { metadata: { namespace: 'going' } }));
    lab.api.store.modify('namespaces', undefined, 'going', (found) => {
      found.status = { phase: 'Terminating' };
    });
    const { open, notes } = await check();
    expect([open, notes]).toEqual([
      true,
      ['going/last on one: its namespace is being deleted; the drain will wait'],
    ]);
  });
});
