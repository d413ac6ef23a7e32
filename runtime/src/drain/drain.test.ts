import { describe, expect, it, test, vi } from 'vitest';
import type { FaultAction } from '../../../test/lab/api/faults.ts';
import { namespace, until } from '../../../test/lab/api/testing.ts';
import type { KubeObject } from '../../../test/lab/api/types.ts';
import { LeaseHeldError } from '../cluster/lease.ts';
import { BlockedError } from '../errors.ts';
import { connect, disruptionBudget, runningPod } from '../testing/api.ts';
import { drainLabs } from '../testing/drain-lab.ts';
import { rejection } from '../testing/files.ts';

const here = drainLabs();

describe('draining a node', () => {
  it('without pods only cordons it', async () => {
    expect(await here().drainOne()).toEqual({ evicted: [] });
    expect(here().node()?.spec?.unschedulable).toBe(true);
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
    await here().seed(
      { ...daemon, spec } as KubeObject,
      runningPod('web', 'one'),
      runningPod('scratch', 'one', { spec: { volumes: [{ name: 'v', emptyDir: {} }] } }),
      runningPod('static', 'one', { metadata: mirror }),
      runningPod('elsewhere', 'two'),
    );
    const { evicted } = await here().drainOne();
    expect([...evicted].sort()).toEqual(['apps/scratch', 'apps/web']);
    expect(here().podsOn().sort()).toEqual([expect.stringMatching(/^agent-/), 'static']);
    expect(here().podsOn('two')).toContain('elsewhere');
    const writes = here().lab.api.requests.all.filter(
      (one) => one.verb === 'patch' || one.subresource === 'eviction',
    );
    expect(writes.map((one) => one.subresource || one.verb)).toEqual(['patch', 'eviction', 'eviction']);
  });

  it('may be done twice: the second drain finds nothing to evict', async () => {
    await here().seed(runningPod('a', 'one'), runningPod('b', 'one'));
    await here().drainOne();
    expect(await here().drainOne()).toEqual({ evicted: [] });
  });

  it('waits for a budget that lets the pods go one by one', async () => {
    const labels = { app: 'web' };
    const template = { metadata: { labels }, spec: { containers: [{ name: 'main', image: 'web:1' }] } };
    await here().seed(
      {
        apiVersion: 'apps/v1',
        kind: 'Deployment',
        metadata: { name: 'web', namespace: 'apps' },
        spec: { replicas: 3, selector: { matchLabels: labels }, template },
      } as KubeObject,
      disruptionBudget('web', 'web', { maxUnavailable: 1 }),
    );
    const count = here().podsOn().length;
    expect((await here().drainOne()).evicted).toHaveLength(count);
    expect(here().podsOn()).toEqual([]);
  });
});

describe('a drain that cannot succeed', () => {
  it('ends at once when another process has taken over, without waiting for terminating pods', async () => {
    await here().seed(
      runningPod('gone-slowly', 'one', { metadata: { finalizers: ['example.com/wait'] } }),
      runningPod('web', 'one'),
      disruptionBudget('never', 'web', { minAvailable: 1 }),
    );
    const client = connect(here().lab);
    const draining = rejection(here().drainOne({}, client));
    await here().reported('web is held back');
    const holder = { identity: 'other/b', since: 'now', expires: 'soon', expired: false };
    client.guardWrites(async () => {
      throw new LeaseHeldError('stopped before the next write', holder);
    });
    const started = performance.now();
    expect(await draining).toBeInstanceOf(LeaseHeldError);
    expect(performance.now() - started).toBeLessThan(5_000);
    expect(here().podsOn()).toContain('gone-slowly');
  });

  it('names the refusing budget and the pods it holds back, without a busy loop (F17, F18)', async () => {
    await here().seed(
      runningPod('web', 'one'),
      runningPod('free', 'one'),
      disruptionBudget('never', 'web', { minAvailable: 1 }),
    );
    const error = await rejection(here().drainOne({ timeout: 3_000 }));
    expect(error).toBeInstanceOf(BlockedError);
    expect(error).toMatchObject({
      reasons: ['apps/web (PodDisruptionBudget apps/never (0 allowed now: 1 healthy, 1 needed))'],
      hint: expect.stringContaining('drain.timeout'),
    });
    expect(error.message).toContain('the drain of node one timed out');
    expect(here().notices).toEqual([
      expect.stringContaining('apps/web is held back by PodDisruptionBudget apps/never'),
    ]);
    const refused = here().evictions.filter((one) => one.status === 429);
    expect(refused.length).toBeGreaterThan(3);
    expect(refused.length).toBeLessThan(32);
    expect(here().podsOn()).toEqual(['web']);
  });

  it('lists the pods that do not terminate in time', async () => {
    await here().seed(runningPod('stuck', 'one'), runningPod('also', 'one'));
    here().lab.api.kubelets.setDown('one');
    const error = await rejection(here().drainOne({ timeout: 3_000 }));
    expect(error).toMatchObject({
      code: 'blocked',
      reasons: ['apps/also (terminating)', 'apps/stuck (terminating)'],
    });
    expect(here().evictions).toHaveLength(2);
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
    await here().seed(
      { ...rbac, kind: 'ClusterRole', rules } as KubeObject,
      { ...rbac, kind: 'ClusterRoleBinding', subjects: [subject], roleRef } as KubeObject,
      runningPod('agent', 'one', { metadata: { ownerReferences: [owner] } }),
      runningPod('web', 'one'),
    );
    const error = await rejection(here().drainOne({}, connect(here().lab, {}, reader)));
    expect(error).toMatchObject({
      code: 'blocked',
      reasons: [
        expect.stringMatching(/^apps\/agent: read DaemonSet apps\/agent: .*cannot get resource "daemonsets"/),
      ],
    });
    expect(here().evictions).toEqual([]);
  });

  it('evicts the other pods when the eviction of one is refused for good', async () => {
    await here().seed(
      runningPod('web', 'one'),
      runningPod('other', 'one'),
      disruptionBudget('first', 'web', { minAvailable: 0 }),
      disruptionBudget('second', 'web', { minAvailable: 0 }),
    );
    const error = await rejection(here().drainOne());
    expect(error).toMatchObject({
      code: 'failed',
      message: expect.stringContaining('more than one PodDisruptionBudget'),
    });
    expect(here().podsOn()).toEqual(['web']);
  });

  it('ends as soon as an eviction is refused for good and the other pods are gone, not at the next list', async () => {
    await here().seed(
      runningPod('web', 'one'),
      disruptionBudget('first', 'web', { minAvailable: 0 }),
      disruptionBudget('second', 'web', { minAvailable: 0 }),
    );
    const started = Date.now();
    expect(await rejection(here().drainOne({ timeout: 60_000 }))).toMatchObject({ code: 'failed' });
    expect(Date.now() - started).toBeLessThan(15_000);
  });

  it('names both the pod whose eviction was refused for good and those that did not terminate in time', async () => {
    await here().seed(
      runningPod('web', 'one'),
      runningPod('held', 'one', { metadata: { finalizers: ['example.com/never', 'example.com/again'] } }),
      disruptionBudget('first', 'web', { minAvailable: 0 }),
      disruptionBudget('second', 'web', { minAvailable: 0 }),
    );
    const error = await rejection(here().drainOne({ timeout: 3_000 }));
    expect((error as BlockedError).reasons.toSorted()).toEqual([
      'apps/held (terminating, waits for example.com/never and example.com/again)',
      expect.stringMatching(/^apps\/web \(.*more than one PodDisruptionBudget/),
    ]);
  });

  it('times out when the API server answers every eviction with 500, and sends none afterwards', async () => {
    await here().seed(runningPod('web', 'one'));
    here().lab.api.faults.add({ match: { subresource: 'eviction' }, action: { status: 500 } });
    const client = connect(here().lab, { outage: 120_000 });
    const started = Date.now();
    const error = await rejection(here().drainOne({ timeout: 2_000 }, client));
    expect(error).toMatchObject({ code: 'blocked', reasons: ['apps/web'] });
    expect(Date.now() - started).toBeLessThan(30_000);
    const sent = here().evictions.length;
    await new Promise((resolve) => setTimeout(resolve, 500));
    expect(here().evictions).toHaveLength(sent);
  });

  it("ends with the signal's reason when aborted", async () => {
    await here().seed(runningPod('web', 'one'), disruptionBudget('never', 'web', { minAvailable: 1 }));
    const stop = new AbortController();
    setTimeout(() => stop.abort(new Error('enough')), 300);
    expect((await rejection(here().drainOne({ signal: stop.signal }))).message).toBe('enough');
  });
});

describe('during a drain', () => {
  it('a node that somebody uncordons is cordoned again, and pods scheduled meanwhile are evicted', async () => {
    await here().seed(runningPod('web', 'one'), disruptionBudget('never', 'web', { minAvailable: 1 }));
    const draining = here().drainOne();
    await vi.waitFor(() => expect(here().evictions).not.toEqual([]), { timeout: 10_000 });
    here().lab.api.store.modify('nodes', undefined, 'one', (found) => {
      found.spec = { ...found.spec, unschedulable: false };
    });
    here().lab.api.apply([runningPod('newcomer', 'one')]);
    await until(here().lab.api, () => (here().node()?.spec?.unschedulable ? true : undefined));
    here().lab.api.store.remove('poddisruptionbudgets', 'apps', 'never');
    const { evicted } = await draining;
    expect(evicted).toContain('apps/newcomer');
    expect([here().podsOn(), here().node()?.spec?.unschedulable]).toEqual([[], true]);
    expect(here().notices).toContain('somebody uncordoned one during its drain; cordoned again');
  });

  it('a pod that is already terminating is waited for and keeps its grace period', async () => {
    await here().seed(runningPod('web', 'one', { metadata: { finalizers: ['example.com/soon'] } }));
    const { store } = here().lab.api;
    store.modify('pods', 'apps', 'web', (pod) => {
      pod.metadata.deletionTimestamp = new Date(Date.now() - 3_600_000).toISOString();
      pod.metadata.deletionGracePeriodSeconds = 1;
    });
    const draining = here().drainOne();
    await vi.waitFor(() => expect(here().evictions).toHaveLength(1), { timeout: 10_000 });
    store.modify('pods', 'apps', 'web', (pod) => {
      delete pod.metadata.finalizers;
    });
    store.remove('pods', 'apps', 'web');
    expect(await draining).toEqual({ evicted: ['apps/web'] });
    expect(here().evictions.map((one) => one.status)).toEqual([201]);
  });

  it('a pod that is recreated on the node under the same name is not evicted, as with kubectl', async () => {
    await here().seed(runningPod('web', 'one'));
    const before = here().lab.api.store.get('pods', 'apps', 'web')?.metadata.uid;
    const stop = here().lab.api.store.subscribe(({ resource, type, object }) => {
      if (resource !== 'pods' || type !== 'DELETED' || object.metadata.uid !== before) return;
      stop();
      here().lab.api.apply([runningPod('web', 'one')]);
    });
    expect(await here().drainOne()).toEqual({ evicted: ['apps/web'] });
    const after = await until(here().lab.api, () => here().lab.api.store.get('pods', 'apps', 'web'));
    expect(after.metadata.uid).not.toBe(before);
    expect(here().evictions).toHaveLength(1);
  });

  it('the pod that a StatefulSet recreates under the same name counts as another pod', async () => {
    const labels = { app: 'db' };
    const tolerations = [{ operator: 'Exists' }];
    const template = {
      metadata: { labels },
      spec: { nodeName: 'one', tolerations, containers: [{ name: 'main', image: 'db:1' }] },
    };
    await here().seed({
      apiVersion: 'apps/v1',
      kind: 'StatefulSet',
      metadata: { name: 'db', namespace: 'apps' },
      spec: { replicas: 1, serviceName: 'db', selector: { matchLabels: labels }, template },
    } as KubeObject);
    const before = here().lab.api.store.get('pods', 'apps', 'db-0')?.metadata.uid;
    expect((await here().drainOne()).evicted).toEqual(['apps/db-0']);
    await until(here().lab.api, () => here().lab.api.store.get('pods', 'apps', 'db-0'));
    expect(here().lab.api.store.get('pods', 'apps', 'db-0')?.metadata.uid).not.toBe(before);
    expect(here().evictions).toHaveLength(1);
  });

  it('a pod whose namespace is being deleted is waited for instead of evicted', async () => {
    await here().seed(namespace('going'), runningPod('last', 'one', { metadata: { namespace: 'going' } }));
    here().lab.api.store.modify('namespaces', undefined, 'going', (found) => {
      found.status = { phase: 'Terminating' };
    });
    const draining = here().drainOne();
    await new Promise((resolve) => {
      const stop = here().lab.api.requests.subscribe((record) => {
        if (record.subresource !== 'eviction') return;
        stop();
        resolve(record);
      });
    });
    setTimeout(() => here().lab.api.store.remove('pods', 'going', 'last'), 200);
    expect(await draining).toEqual({ evicted: ['going/last'] });
    expect(new Set(here().evictions.map((one) => one.status))).toEqual(new Set([403]));
    expect(here().evictions.length).toBeLessThan(3);
  });

  const match = { subresource: 'eviction' };
  test.each([
    ['500', { status: 500 }, 2],
    ['429 for overload', { status: 429, retryAfter: 1 }, 2],
    ['a cut connection', { reset: 'before' }, 2],
    // The pod may be gone before the eviction is sent again.
    ['an answer that was cut off', { reset: 'after' }, 1],
  ] as [string, FaultAction, number][])(
    'an eviction that fails with %s is retried',
    async (_what, action, atLeast) => {
      await here().seed(runningPod('web', 'one'));
      here().lab.api.faults.add({ match, times: 1, action });
      expect(await here().drainOne()).toEqual({ evicted: ['apps/web'] });
      expect(here().podsOn()).toEqual([]);
      expect(here().evictions.length).toBeGreaterThanOrEqual(atLeast);
    },
  );

  it('a short outage of the API server is waited out', async () => {
    await here().seed(runningPod('web', 'one'), disruptionBudget('now-and-then', 'web', { minAvailable: 1 }));
    const draining = here().drainOne();
    await until(here().lab.api, () => (here().node()?.spec?.unschedulable ? true : undefined));
    await here().lab.api.outage(300);
    here().lab.api.store.remove('poddisruptionbudgets', 'apps', 'now-and-then');
    expect(await draining).toEqual({ evicted: ['apps/web'] });
  });
});
