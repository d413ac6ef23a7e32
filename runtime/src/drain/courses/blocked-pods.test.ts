import { describe, expect, it } from 'vitest';
import { until } from '../../../../test/lab/api/testing.ts';
import { BlockedError } from '../../errors.ts';
import type { BlockedPodRule } from '../../settings/blocked-pods.ts';
import { connect, disruptionBudget, runningPod } from '../../testing/api.ts';
import { drainLabs } from '../../testing/drain-lab.ts';
import { rejection } from '../../testing/files.ts';

const here = drainLabs();

const rule = (change: Partial<BlockedPodRule>): BlockedPodRule => ({
  wait: 300,
  deleteAfter: 300,
  ...change,
});
const deletions = () => here().lab.api.requests.matching({ resource: 'pods', verb: 'delete' });
const never = (name: string, app = name) => disruptionBudget(name, app, { minAvailable: 1 });

describe('a pod whose eviction stays refused', () => {
  it("is deleted when a rule names it: refused, announced, refused again, then deleted with the drain's grace period", async () => {
    await here().seed(runningPod('web', 'one'), runningPod('free', 'one'), never('never', 'web'));
    let grace: number | undefined;
    here().lab.api.store.subscribe(({ object }) => {
      if (object.metadata.name === 'web') grace ??= object.metadata.deletionGracePeriodSeconds;
    });
    const started = Date.now();
    const { evicted } = await here().drainOne({ blockedPods: [rule({ disruptionBudgets: ['apps/never'] })] });
    expect([...evicted].sort()).toEqual(['apps/free', 'apps/web']);
    expect(here().podsOn()).toEqual([]);
    expect(grace).toBe(30);
    // On a busy machine the deletion may be announced before the third refusal, and then that notice is left
    // out.
    expect(here().notices.filter((notice) => !notice.includes('is held back by'))).toEqual([
      expect.stringMatching(
        /^the eviction of apps\/web has been refused for [0-9.]+s by PodDisruptionBudget apps\/never \(.*\); it will be deleted in 0\.3s because drain\.blockedPods\.0 names it$/,
      ),
      expect.stringMatching(
        /^deleting apps\/web: its eviction was refused for [0-9.]+s by .*drain\.blockedPods\.0/,
      ),
    ]);
    const [deletion, ...more] = deletions();
    expect(more).toEqual([]);
    expect(deletion).toMatchObject({ namespace: 'apps', name: 'web', status: 200, dryRun: false });
    expect(Number(deletion?.time) - started).toBeGreaterThanOrEqual(600);
    // The last eviction before the deletion was refused.
    const before = here().evictions.filter((one) => one.name === 'web' && one.time <= (deletion?.time ?? 0));
    expect(before.at(-1)?.status).toBe(429);
  });

  it('is not deleted when no rule names it', async () => {
    await here().seed(
      runningPod('web', 'one'),
      runningPod('db', 'one'),
      runningPod('elsewhere', 'two', { labels: { app: 'web' } }),
      never('never', 'web'),
      disruptionBudget('db', 'db', { minAvailable: 1 }),
    );
    here().lab.api.store.modify('poddisruptionbudgets', 'apps', 'never', (budget) => {
      budget.spec = { ...budget.spec, minAvailable: 2 } as never;
    });
    await here().lab.api.settled();
    const blockedPods = [
      rule({ podSelector: { matchLabels: { app: 'web' }, matchExpressions: [] } }),
      rule({ namespaces: ['media'] }),
    ];
    const error = await rejection(here().drainOne({ timeout: 6_000, blockedPods }));
    expect(error).toMatchObject({ code: 'blocked', reasons: [expect.stringMatching(/^apps\/db \(PodDisr/)] });
    expect(here().podsOn()).toEqual(['db']);
    expect(here().podsOn('two')).toEqual(['elsewhere']);
    expect(deletions().map((one) => one.name)).toEqual(['web']);
  });

  it('is evicted when its budget allows that before the deletion', async () => {
    await here().seed(runningPod('web', 'one'), never('never', 'web'));
    const draining = here().drainOne({ blockedPods: [rule({ namespaces: ['apps'], deleteAfter: 15_000 })] });
    await here().reported('it will be deleted');
    here().lab.api.store.remove('poddisruptionbudgets', 'apps', 'never');
    expect(await draining).toEqual({ evicted: ['apps/web'] });
    expect(deletions()).toEqual([]);
  });

  it('is not deleted when a second budget, which no rule names, starts to select it', async () => {
    await here().seed(runningPod('web', 'one'), never('never', 'web'));
    const blockedPods = [rule({ disruptionBudgets: ['apps/never'], deleteAfter: 3_000 })];
    const draining = rejection(here().drainOne({ timeout: 6_000, blockedPods }));
    await here().reported('it will be deleted');
    here().lab.api.apply([never('also', 'web')]);
    expect((await draining).message).toContain('more than one PodDisruptionBudget');
    expect([deletions(), here().podsOn()]).toEqual([[], ['web']]);
  });

  it("is not deleted when it loses the label that the rule's selector needs", async () => {
    await here().seed(runningPod('web', 'one', { labels: { fragile: 'no' } }), never('never', 'web'));
    const selector = { matchLabels: { fragile: 'no' }, matchExpressions: [] };
    const blockedPods = [rule({ podSelector: selector, deleteAfter: 3_000 })];
    const draining = rejection(here().drainOne({ timeout: 6_000, blockedPods }));
    await here().reported('it will be deleted');
    here().lab.api.store.modify('pods', 'apps', 'web', (pod) => {
      pod.metadata.labels = { app: 'web' };
    });
    expect(await draining).toMatchObject({ code: 'blocked' });
    expect([deletions(), here().podsOn()]).toEqual([[], ['web']]);
  });

  it('is deleted under several budgets when the rule names all of them', async () => {
    await here().seed(runningPod('web', 'one'), never('first', 'web'), never('second', 'web'));
    const blockedPods = [rule({ disruptionBudgets: ['apps/first', 'apps/second'] })];
    expect(await here().drainOne({ blockedPods })).toEqual({ evicted: ['apps/web'] });
    expect(deletions().map((one) => one.status)).toEqual([200]);
  });

  it('is not deleted when the API server is overloaded, nor after the drain is aborted', async () => {
    await here().seed(runningPod('web', 'one'), never('never', 'web'));
    here().lab.api.faults.add({ match: { subresource: 'eviction' }, action: { status: 429 } });
    const blockedPods = [rule({ namespaces: ['apps'], wait: 0, deleteAfter: 0 })];
    await rejection(here().drainOne({ timeout: 2_000, blockedPods }));
    here().lab.api.faults.clear();
    const stop = new AbortController();
    const draining = rejection(
      here().drainOne({ blockedPods: [rule({ namespaces: ['apps'] })], signal: stop.signal }),
    );
    await here().reported('it will be deleted');
    stop.abort(new Error('enough'));
    expect((await draining).message).toBe('enough');
    expect([deletions(), here().podsOn()]).toEqual([[], ['web']]);
  });

  it('is not deleted by a process that has lost its lease', async () => {
    await here().seed(runningPod('web', 'one'), never('never', 'web'));
    const client = connect(here().lab);
    const blockedPods = [rule({ namespaces: ['apps'], deleteAfter: 2_000 })];
    const draining = rejection(here().drainOne({ blockedPods }, client));
    await here().reported('it will be deleted');
    client.guardWrites(async () => {
      throw new BlockedError('another run holds the lease', []);
    });
    expect((await draining).message).toContain('another run holds the lease');
    expect([deletions(), here().podsOn()]).toEqual([[], ['web']]);
  });

  it('waits the full time again after the drain was killed', async () => {
    await here().seed(runningPod('web', 'one'), never('never', 'web'));
    const blockedPods = [rule({ namespaces: ['apps'], deleteAfter: 600 })];
    const killed = new AbortController();
    const first = rejection(here().drainOne({ blockedPods, signal: killed.signal }));
    await here().reported('it will be deleted');
    killed.abort(new Error('killed'));
    await first;
    const again = Date.now();
    await here().drainOne({ blockedPods });
    expect(Number(deletions()[0]?.time) - again).toBeGreaterThanOrEqual(900);
    expect(here().notices.filter((notice) => notice.includes('it will be deleted'))).toHaveLength(2);
  });

  it('fails with the API error when deleting it is forbidden, and evicts the other pods', async () => {
    await here().seed(runningPod('web', 'one'), runningPod('free', 'one'), never('never', 'web'));
    here().lab.api.apply([
      {
        apiVersion: 'rbac.authorization.k8s.io/v1',
        kind: 'ClusterRole',
        metadata: { name: 'drains' },
        rules: [
          { apiGroups: [''], resources: ['nodes'], verbs: ['get', 'patch'] },
          { apiGroups: [''], resources: ['pods'], verbs: ['list', 'watch'] },
          { apiGroups: [''], resources: ['pods/eviction'], verbs: ['create'] },
          { apiGroups: ['policy'], resources: ['poddisruptionbudgets'], verbs: ['list'] },
        ],
      },
      {
        apiVersion: 'rbac.authorization.k8s.io/v1',
        kind: 'ClusterRoleBinding',
        metadata: { name: 'drains' },
        roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'drains' },
        subjects: [{ kind: 'ServiceAccount', namespace: 'apps', name: 'drainer' }],
      },
    ] as never);
    const user = { namespace: 'apps', serviceAccount: 'drainer' };
    const blockedPods = [rule({ namespaces: ['apps'] })];
    const error = await rejection(here().drainOne({ blockedPods }, connect(here().lab, {}, user)));
    expect(error).toMatchObject({
      code: 'failed',
      message: expect.stringMatching(/delete pod apps\/web: .*cannot delete resource "pods"/),
    });
    expect(here().podsOn()).toEqual(['web']);
  });

  it('does not wait for the pod that its StatefulSet creates in its place', async () => {
    const labels = { app: 'db' };
    const template = { metadata: { labels }, spec: { containers: [{ name: 'main', image: 'db:1' }] } };
    here().lab.api.store.modify('nodes', undefined, 'two', (node) => {
      node.spec = { ...node.spec, unschedulable: true };
    });
    await here().seed(
      {
        apiVersion: 'apps/v1',
        kind: 'StatefulSet',
        metadata: { name: 'db', namespace: 'apps' },
        spec: { replicas: 1, serviceName: 'db', selector: { matchLabels: labels }, template },
      } as never,
      never('db'),
    );
    expect(here().podsOn()).toEqual(['db-0']);
    const before = here().lab.api.store.get('pods', 'apps', 'db-0')?.metadata.uid;
    await here().drainOne({ blockedPods: [rule({ disruptionBudgets: ['apps/db'] })] });
    const after = await until(here().lab.api, () => here().lab.api.store.get('pods', 'apps', 'db-0'));
    expect(after.metadata.uid).not.toBe(before);
    expect(deletions()).toHaveLength(1);
  });
});
