import { afterEach, beforeEach, describe, expect, it, test, vi } from 'vitest';
import type { FaultAction } from '../../../test/lab/api/faults.ts';
import { namespace, type TestLab, until } from '../../../test/lab/api/testing.ts';
import type { KubeObject } from '../../../test/lab/api/types.ts';
import { BlockedError } from '../errors.ts';
import { connect, disruptionBudget, runningPod, startLab } from '../testing/api.ts';
import { rejection } from '../testing/files.ts';
import type { KubernetesClient } from './client.ts';
import { type DrainOptions, drain } from './drain.ts';
import { clusterWriter } from './writer.ts';

let lab: TestLab;
let notices: string[];
beforeEach(async () => {
  lab = await startLab();
  notices = [];
});
afterEach(() => lab.stop());

const node = (name = 'one') => lab.api.store.get('nodes', undefined, name);
const podsOn = (name = 'one') =>
  lab.api.store
    .list('pods')
    .filter((pod) => pod.spec?.nodeName === name)
    .map((pod) => pod.metadata.name);

/** Puts pods in place and waits until they run and the budgets have counted them. */
async function seed(...objects: KubeObject[]): Promise<void> {
  lab.api.apply(objects);
  await lab.api.settled();
  await until(lab.api, () =>
    lab.api.store.list('pods').every((pod) => pod.status?.phase !== 'Pending') ? true : undefined,
  );
  await lab.api.settled();
}

/** Cordons as the upgrade does: reads, and writes only when it must. */
async function cordon(client: KubernetesClient): Promise<'cordoned' | 'already'> {
  const found = await client.call('read node', () => client.core.readNode({ name: 'one' }));
  if (found.spec?.unschedulable === true) return 'already';
  await clusterWriter(client, 'k8s-upgrade').patchNode('one', {}, true);
  return 'cordoned';
}

function drainOne(change: Partial<DrainOptions> = {}, client = connect(lab)) {
  return drain(client, clusterWriter(client, 'k8s-upgrade'), 'one', {
    timeout: 5_000,
    gracePeriod: 30_000,
    evictionRetry: 100,
    signal: client.options.signal,
    onNotice: (notice) => notices.push(notice),
    cordon: () => cordon(client),
    ...change,
  });
}

const evictions = () => lab.api.requests.matching({ subresource: 'eviction' });

describe('draining a node', () => {
  it('of nothing only cordons it', async () => {
    expect(await drainOne()).toEqual({ evicted: [] });
    expect(node()?.spec?.unschedulable).toBe(true);
  });

  it('cordons first, then evicts what kubectl would, and leaves other nodes alone', async () => {
    const daemon = {
      apiVersion: 'apps/v1',
      kind: 'DaemonSet',
      metadata: { name: 'agent', namespace: 'apps' },
    };
    const labels = { app: 'agent' };
    const spec = {
      selector: { matchLabels: labels },
      template: { metadata: { labels }, spec: { containers: [{ name: 'main', image: 'agent:1' }] } },
    };
    const mirror = { annotations: { 'kubernetes.io/config.mirror': 'hash' } };
    await seed(
      { ...daemon, spec } as KubeObject,
      runningPod('web', 'one'),
      runningPod('scratch', 'one', { spec: { volumes: [{ name: 'v', emptyDir: {} }] } }),
      runningPod('static', 'one', { metadata: mirror }),
      runningPod('elsewhere', 'two'),
    );
    const { evicted } = await drainOne();
    expect([...evicted].sort()).toEqual(['apps/scratch', 'apps/web']);
    expect(podsOn().sort()).toEqual([expect.stringMatching(/^agent-/), 'static']);
    expect(podsOn('two')).toContain('elsewhere');
    const writes = lab.api.requests.all.filter(
      (one) => one.verb === 'patch' || one.subresource === 'eviction',
    );
    expect(writes.map((one) => one.subresource || one.verb)).toEqual(['patch', 'eviction', 'eviction']);
  });

  it('again, half way, takes what is left', async () => {
    await seed(runningPod('a', 'one'), runningPod('b', 'one'));
    await drainOne();
    expect(await drainOne()).toEqual({ evicted: [] });
  });

  it('waits for a budget that lets the pods go one by one', async () => {
    const labels = { app: 'web' };
    const template = { metadata: { labels }, spec: { containers: [{ name: 'main', image: 'web:1' }] } };
    await seed(
      {
        apiVersion: 'apps/v1',
        kind: 'Deployment',
        metadata: { name: 'web', namespace: 'apps' },
        spec: { replicas: 3, selector: { matchLabels: labels }, template },
      } as KubeObject,
      disruptionBudget('web', 'web', { maxUnavailable: 1 }),
    );
    const here = podsOn().length;
    expect((await drainOne()).evicted).toHaveLength(here);
    expect(podsOn()).toEqual([]);
  });
});

describe('a drain that cannot succeed', () => {
  it('names the budget that refuses and the pods it holds, without a busy loop (F17, F18)', async () => {
    await seed(
      runningPod('web', 'one'),
      runningPod('free', 'one'),
      disruptionBudget('never', 'web', { minAvailable: 1 }),
    );
    const error = await rejection(drainOne({ timeout: 1_000 }));
    expect(error).toBeInstanceOf(BlockedError);
    expect(error).toMatchObject({
      reasons: ['apps/web (PodDisruptionBudget apps/never (0 allowed now: 1 healthy, 1 needed))'],
      hint: expect.stringContaining('drain.timeout'),
    });
    expect(error.message).toContain('node one was not empty after its time-out');
    expect(notices).toEqual([
      expect.stringContaining('apps/web is held back by PodDisruptionBudget apps/never'),
    ]);
    const refused = evictions().filter((one) => one.status === 429);
    expect(refused.length).toBeGreaterThan(3);
    expect(refused.length).toBeLessThan(12);
    expect(podsOn()).toEqual(['web']);
  });

  it('lists the pods that do not go in time', async () => {
    await seed(runningPod('stuck', 'one'), runningPod('also', 'one'));
    lab.api.kubelets.setDown('one');
    const error = await rejection(drainOne({ timeout: 500 }));
    expect(error).toMatchObject({ code: 'blocked', reasons: ['apps/also', 'apps/stuck'] });
    expect(evictions()).toHaveLength(2);
  });

  it('ends before the first eviction when a DaemonSet cannot be read (F30)', async () => {
    const reader = { namespace: 'apps', serviceAccount: 'no-daemonsets' };
    const rules = [
      { apiGroups: [''], resources: ['nodes'], verbs: ['get', 'patch'] },
      { apiGroups: [''], resources: ['pods'], verbs: ['list', 'watch'] },
      { apiGroups: [''], resources: ['pods/eviction'], verbs: ['create'] },
    ];
    const subject = { kind: 'ServiceAccount', namespace: 'apps', name: 'no-daemonsets' };
    const roleRef = { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'almost' };
    const rbac = { apiVersion: 'rbac.authorization.k8s.io/v1', metadata: { name: 'almost' } };
    const owner = { apiVersion: 'apps/v1', kind: 'DaemonSet', name: 'agent', uid: 'u', controller: true };
    await seed(
      { ...rbac, kind: 'ClusterRole', rules } as KubeObject,
      { ...rbac, kind: 'ClusterRoleBinding', subjects: [subject], roleRef } as KubeObject,
      runningPod('agent', 'one', { metadata: { ownerReferences: [owner] } }),
      runningPod('web', 'one'),
    );
    const error = await rejection(drainOne({}, connect(lab, {}, reader)));
    expect(error).toMatchObject({
      code: 'blocked',
      reasons: [
        expect.stringMatching(/^apps\/agent: read DaemonSet apps\/agent: .*cannot get resource "daemonsets"/),
      ],
    });
    expect(evictions()).toEqual([]);
  });

  it('lets the others go when one pod is refused for good', async () => {
    await seed(
      runningPod('web', 'one'),
      runningPod('other', 'one'),
      disruptionBudget('first', 'web', { minAvailable: 0 }),
      disruptionBudget('second', 'web', { minAvailable: 0 }),
    );
    const error = await rejection(drainOne());
    expect(error).toMatchObject({
      code: 'failed',
      message: expect.stringContaining('more than one PodDisruptionBudget'),
    });
    expect(podsOn()).toEqual(['web']);
  });

  it('ends with the reason when called off', async () => {
    await seed(runningPod('web', 'one'), disruptionBudget('never', 'web', { minAvailable: 1 }));
    const stop = new AbortController();
    setTimeout(() => stop.abort(new Error('enough')), 300);
    expect((await rejection(drainOne({ signal: stop.signal }))).message).toBe('enough');
  });
});

describe('what happens in the middle', () => {
  it('somebody uncordons the node: it is cordoned again, and what came is evicted', async () => {
    await seed(runningPod('web', 'one'), disruptionBudget('never', 'web', { minAvailable: 1 }));
    const draining = drainOne();
    await vi.waitFor(() => expect(evictions()).not.toEqual([]));
    lab.api.store.modify('nodes', undefined, 'one', (found) => {
      found.spec = { ...found.spec, unschedulable: false };
    });
    lab.api.apply([runningPod('newcomer', 'one')]);
    await until(lab.api, () => (node()?.spec?.unschedulable ? true : undefined));
    lab.api.store.remove('poddisruptionbudgets', 'apps', 'never');
    const { evicted } = await draining;
    expect(evicted).toContain('apps/newcomer');
    expect([podsOn(), node()?.spec?.unschedulable]).toEqual([[], true]);
    expect(notices).toContain('somebody uncordoned one during its drain; cordoned again');
  });

  it('a StatefulSet makes a pod of the same name, which is another pod', async () => {
    const labels = { app: 'db' };
    const tolerations = [{ operator: 'Exists' }];
    const template = {
      metadata: { labels },
      spec: { nodeName: 'one', tolerations, containers: [{ name: 'main', image: 'db:1' }] },
    };
    await seed({
      apiVersion: 'apps/v1',
      kind: 'StatefulSet',
      metadata: { name: 'db', namespace: 'apps' },
      spec: { replicas: 1, serviceName: 'db', selector: { matchLabels: labels }, template },
    } as KubeObject);
    const before = lab.api.store.get('pods', 'apps', 'db-0')?.metadata.uid;
    expect((await drainOne()).evicted).toEqual(['apps/db-0']);
    await until(lab.api, () => lab.api.store.get('pods', 'apps', 'db-0'));
    expect(lab.api.store.get('pods', 'apps', 'db-0')?.metadata.uid).not.toBe(before);
    expect(evictions()).toHaveLength(1);
  });

  it('the namespace of a pod is going: the drain waits for it instead of evicting', async () => {
    await seed(namespace('going'), runningPod('last', 'one', { metadata: { namespace: 'going' } }));
    lab.api.store.modify('namespaces', undefined, 'going', (found) => {
      found.status = { phase: 'Terminating' };
    });
    const draining = drainOne();
    await new Promise((resolve) => {
      const stop = lab.api.requests.subscribe((record) => {
        if (record.subresource !== 'eviction') return;
        stop();
        resolve(record);
      });
    });
    setTimeout(() => lab.api.store.remove('pods', 'going', 'last'), 200);
    expect(await draining).toEqual({ evicted: ['going/last'] });
    expect(evictions().map((one) => one.status)).toEqual([403]);
  });

  const match = { subresource: 'eviction' };
  test.each([
    ['500', { status: 500 }],
    ['429 for overload', { status: 429, retryAfter: 1 }],
    ['a cut connection', { reset: 'before' }],
    ['an answer that was cut off', { reset: 'after' }],
  ] as [string, FaultAction][])('an eviction meets %s: it is tried again', async (_what, action) => {
    await seed(runningPod('web', 'one'));
    lab.api.faults.add({ match, times: 1, action });
    expect(await drainOne()).toEqual({ evicted: ['apps/web'] });
    expect(podsOn()).toEqual([]);
    expect(evictions()).toHaveLength(2);
  });

  it('the API server is away for a moment', async () => {
    await seed(runningPod('web', 'one'), disruptionBudget('now-and-then', 'web', { minAvailable: 1 }));
    const draining = drainOne();
    await until(lab.api, () => (node()?.spec?.unschedulable ? true : undefined));
    await lab.api.outage(300);
    lab.api.store.remove('poddisruptionbudgets', 'apps', 'now-and-then');
    expect(await draining).toEqual({ evicted: ['apps/web'] });
  });
});
