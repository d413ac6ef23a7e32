import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Pod } from '../types.ts';
import { budget, isReady, namespace, pod, workload } from './objects.ts';
import type { Answer, Rest } from './rest.ts';
import type { StartTarget, Target } from './target.ts';

const pods = '/api/v1/namespaces/apps/pods';
const budgets = '/apis/policy/v1/namespaces/apps/poddisruptionbudgets';

/** Evictions, PodDisruptionBudgets, scheduling, and the replacement of evicted pods. */
export function describeEvictions(start: StartTarget): void {
  describe('evictions', () => {
    let target: Target;
    let rest: Rest;
    beforeAll(async () => {
      target = await start();
      rest = target.rest;
      await rest.create([namespace('apps')]);
      await rest.eventually(
        '/api/v1/namespaces/apps/serviceaccounts/default',
        (found) => found !== undefined,
      );
      await Promise.all([target.addNode('one'), target.addNode('two')]);
    });
    afterAll(() => target?.stop());

    const evict = (name: string, options: object = {}): Promise<Answer> =>
      rest.send('POST', `${pods}/${name}/eviction`, {
        apiVersion: 'policy/v1',
        kind: 'Eviction',
        metadata: { name, namespace: 'apps' },
        ...options,
      });
    const ofApp = (app: string) => `${pods}?labelSelector=app%3D${app}`;
    const live = ({ items }: { items: Pod[] }) =>
      items.filter(({ metadata }) => metadata.deletionTimestamp === undefined);
    /** The app's pods that are not being deleted, once there are `count` of them and all are Ready. */
    const ready = async (app: string, count: number): Promise<Pod[]> =>
      live(
        await rest.eventually(ofApp(app), (list) => live(list).length === count && live(list).every(isReady)),
      );
    const budgetAllows = (name: string, count: number) =>
      rest.eventually(
        `${budgets}/${name}`,
        ({ status, metadata }) =>
          status?.observedGeneration === metadata.generation && status?.disruptionsAllowed === count,
      );
    const cordon = async (unschedulable: boolean) => {
      for (const name of ['one', 'two'])
        await rest.patch(`/api/v1/nodes/${name}`, { spec: { unschedulable: unschedulable || null } });
    };
    const nameOf = (found: Pod | undefined): string => found?.metadata.name ?? '';

    it('happen within the PodDisruptionBudget, and a dry run changes nothing', async () => {
      await rest.create([
        workload('Deployment', 'web', 'apps', 2),
        budget('web', 'apps', 'web', { minAvailable: 1 }),
      ]);
      const [first, second] = await ready('web', 2);
      expect((await budgetAllows('web', 1)).status).toMatchObject({
        currentHealthy: 2,
        desiredHealthy: 1,
        expectedPods: 2,
      });
      for (const one of [first, second]) {
        const { code, body } = await evict(nameOf(one), { deleteOptions: { dryRun: ['All'] } });
        expect([code, body.status]).toEqual([201, 'Success']);
      }
      await ready('web', 2);
      await budgetAllows('web', 1);
      // Cordon all nodes so that no replacement starts and the second pod stays the only healthy one.
      await cordon(true);
      const { code, body } = await evict(nameOf(first));
      expect([code, body.status]).toEqual([201, 'Success']);
      await rest.eventually(`${budgets}/web`, ({ status }) => status.currentHealthy === 1);
      const refused = await evict(nameOf(second));
      expect(refused.body).toEqual({
        kind: 'Status',
        apiVersion: 'v1',
        metadata: {},
        status: 'Failure',
        code: 429,
        reason: 'TooManyRequests',
        message: "Cannot evict pod as it would violate the pod's disruption budget.",
        details: {
          causes: [
            {
              reason: 'DisruptionBudget',
              message: 'The disruption budget web needs 1 healthy pods and has 1 currently',
            },
          ],
        },
      });
      expect(refused.headers['retry-after']).toBeUndefined();
      await cordon(false);
      await ready('web', 2);
      await budgetAllows('web', 1);
    });

    it('set the condition DisruptionTarget and respect the grace period of the pod', async () => {
      const held = pod('held', 'apps', { terminationGracePeriodSeconds: 7 });
      await rest.create([{ ...held, metadata: { ...held.metadata, finalizers: ['example.com/hold'] } }]);
      await rest.eventually(`${pods}/held`, isReady);
      expect((await evict('held')).code).toBe(201);
      const { metadata, status } = await rest.get(`${pods}/held`);
      expect(metadata.deletionTimestamp).toMatch(/Z$/);
      expect(metadata.deletionGracePeriodSeconds).toBeLessThanOrEqual(7);
      expect(status.conditions).toContainEqual(
        expect.objectContaining({
          type: 'DisruptionTarget',
          status: 'True',
          reason: 'EvictionByEvictionAPI',
          message: 'Eviction API: evicting',
        }),
      );
      await rest.patch(`${pods}/held`, { metadata: { finalizers: null } });
      await rest.eventually(`${pods}/held`, (found) => found === undefined);
    });

    it('use the grace period of the eviction, if it has one', async () => {
      const short = pod('short', 'apps', { terminationGracePeriodSeconds: 600 });
      await rest.create([{ ...short, metadata: { ...short.metadata, finalizers: ['example.com/hold'] } }]);
      await rest.eventually(`${pods}/short`, isReady);
      const uid = '5b9a0f1c-0000-4000-8000-000000000001';
      const another = await evict('short', { deleteOptions: { preconditions: { uid } } });
      expect([another.code, another.body.reason]).toEqual([409, 'Conflict']);
      expect((await evict('short', { deleteOptions: { gracePeriodSeconds: 11 } })).code).toBe(201);
      expect((await rest.get(`${pods}/short`)).metadata.deletionGracePeriodSeconds).toBeLessThanOrEqual(11);
      await rest.patch(`${pods}/short`, { metadata: { finalizers: null } });
    });

    it('of a pod with two budgets are answered with 500', async () => {
      await rest.create([workload('Deployment', 'twice', 'apps', 1)]);
      const [one] = await ready('twice', 1);
      // Do not wait for their status: the controller reconciles only one budget when a pod changes.
      await rest.create([
        budget('a', 'apps', 'twice', { maxUnavailable: 1 }),
        budget('b', 'apps', 'twice', { maxUnavailable: '100%' }),
      ]);
      const { code, body } = await evict(nameOf(one));
      expect([code, body.message]).toEqual([
        500,
        'This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.',
      ]);
      expect((await evict('nobody')).body).toMatchObject({ code: 404, message: 'pods "nobody" not found' });
    });

    it('are refused when a budget with maxUnavailable selects a pod without a controller', async () => {
      const own = pod('own', 'apps');
      await rest.create([
        { ...own, metadata: { ...own.metadata, labels: { app: 'own' } } },
        budget('own', 'apps', 'own', { maxUnavailable: 1 }),
      ]);
      await rest.eventually(`${budgets}/own`, ({ status }) => status?.currentHealthy === 1);
      const { code, body } = await evict('own');
      const message = 'The disruption budget own needs 0 healthy pods and has 1 currently';
      expect([code, body.details]).toEqual([429, { causes: [{ reason: 'DisruptionBudget', message }] }]);
    });

    it('of an unready pod need enough healthy others, unless the policy is AlwaysAllow', async () => {
      await rest.create([
        workload('Deployment', 'ill', 'apps', 1),
        budget('ill', 'apps', 'ill', { minAvailable: 1 }),
      ]);
      const [one] = await ready('ill', 1);
      const path = `${pods}/${nameOf(one)}`;
      const conditions = [{ type: 'Ready', status: 'False' }];
      await rest.patch(`${path}/status`, { status: { conditions } }, 'strategic');
      await rest.eventually(`${budgets}/ill`, ({ status }) => status?.currentHealthy === 0);
      expect((await evict(nameOf(one))).code).toBe(429);
      await rest.patch(`${budgets}/ill`, { spec: { unhealthyPodEvictionPolicy: 'AlwaysAllow' } });
      expect((await evict(nameOf(one))).code).toBe(201);
      await rest.eventually(path, (found) => found === undefined);
    });

    it('are refused by a budget that allows none', async () => {
      await rest.create([
        workload('Deployment', 'all', 'apps', 2),
        budget('all', 'apps', 'all', { maxUnavailable: 0 }),
      ]);
      const [one] = await ready('all', 2);
      // Wait until the controller has counted the pods; the allowed number is 0 from the start.
      await rest.eventually(`${budgets}/all`, ({ status }) => status?.currentHealthy === 2);
      expect((await evict(nameOf(one))).body.details.causes[0].message).toBe(
        'The disruption budget all needs 2 healthy pods and has 2 currently',
      );
    });

    it('of a StatefulSet lead to a pod of the same name with a new uid', async () => {
      await rest.create([workload('StatefulSet', 'db', 'apps', 1)]);
      const [old] = await ready('db', 1);
      expect((await evict('db-0')).code).toBe(201);
      const next = await rest.eventually(
        `${pods}/db-0`,
        (found) => found !== undefined && found.metadata.uid !== old?.metadata.uid && isReady(found),
      );
      expect(next.metadata.ownerReferences).toMatchObject([
        { kind: 'StatefulSet', name: 'db', controller: true },
      ]);
    });

    it('leave a replacement that no node fits Pending, with the reason', async () => {
      await cordon(true);
      await rest.create([workload('Deployment', 'late', 'apps', 1)]);
      const unschedulable = ({ status }: Pod) =>
        status?.conditions?.some((c) => c.reason === 'Unschedulable');
      const { items } = await rest.eventually(ofApp('late'), (list) => list.items.some(unschedulable));
      const message =
        '0/2 nodes are available: 2 node(s) were unschedulable. no new claims to deallocate, preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling.';
      expect(items[0].status.phase).toBe('Pending');
      expect(items[0].status.conditions).toContainEqual(
        expect.objectContaining({ type: 'PodScheduled', status: 'False', reason: 'Unschedulable', message }),
      );
      await rest.eventually('/api/v1/nodes/one', ({ spec }) =>
        spec.taints?.some((t: { key: string }) => t.key === 'node.kubernetes.io/unschedulable'),
      );
      const about = `involvedObject.uid=${items[0].metadata.uid},reason=FailedScheduling`;
      const events = await rest.eventually(
        `/api/v1/namespaces/apps/events?fieldSelector=${encodeURIComponent(about)}`,
        (list) => list.items.length > 0,
      );
      expect(events.items[0]).toMatchObject({ type: 'Warning', message });
      await rest.patch('/api/v1/nodes/two', { spec: { unschedulable: null } });
      const [placed] = await ready('late', 1);
      expect(placed?.spec?.nodeName).toBe('two');
      await cordon(false);
    });
  });
}
