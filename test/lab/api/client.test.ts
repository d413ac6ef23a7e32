import {
  ApiException,
  BatchV1Api,
  CoordinationV1Api,
  CoreV1Api,
  type V1Lease,
  V1MicroTime,
  type V1Node,
  type V1Status,
  Watch,
} from '@kubernetes/client-node';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { call, eventually, namespace, startTestLab, type TestLab, testNode } from './testing.ts';
import { clientConfig } from './testing-client.ts';
import type { PodDisruptionBudget } from './types.ts';

/** The Status body of a refused request. */
async function refusal(request: Promise<unknown>): Promise<V1Status> {
  const error = await request.then(
    () => undefined,
    (e: unknown) => e,
  );
  if (!(error instanceof ApiException)) throw new Error(`not refused by the API: ${String(error)}`);
  // The client drops the body of a 401.
  if (error.body === undefined) return { code: error.code };
  return JSON.parse(error.body) as V1Status;
}

describe('client-node against the lab', () => {
  let lab: TestLab;
  let core: CoreV1Api;
  let leases: CoordinationV1Api;

  beforeAll(async () => {
    lab = await startTestLab();
    const config = clientConfig(lab.api);
    core = config.makeApiClient(CoreV1Api);
    leases = config.makeApiClient(CoordinationV1Api);
    lab.api.apply([namespace('apps'), testNode('one'), testNode('two')]);
  });
  afterAll(() => lab.stop());

  const deployment = (name: string, replicas: number) => ({
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name, namespace: 'apps' },
    spec: {
      replicas,
      selector: { matchLabels: { app: name } },
      template: { metadata: { labels: { app: name } }, spec: { containers: [{ name, image: `${name}:1` }] } },
    },
  });
  const budget = (name: string, app: string, spec: object) => ({
    apiVersion: 'policy/v1',
    kind: 'PodDisruptionBudget',
    metadata: { name, namespace: 'apps' },
    spec: { ...spec, selector: { matchLabels: { app } } },
  });
  const podsOf = (app: string) =>
    lab.api.store
      .list('pods', 'apps')
      .filter((p) => p.metadata.labels?.app === app && !p.metadata.deletionTimestamp);
  const evict = (name: string, dryRun?: 'All') =>
    core.createNamespacedPodEviction({
      namespace: 'apps',
      name,
      ...(dryRun === undefined ? {} : { dryRun }),
      body: { metadata: { name, namespace: 'apps' } },
    });

  it('watches from a version and reports an object that no longer matches the selector as DELETED', async () => {
    const { metadata } = await core.listNode();
    const seen: string[] = [];
    const watch = new Watch(clientConfig(lab.api));
    const aborter = await new Promise<AbortController>((resolve, reject) => {
      let controller: AbortController | undefined;
      watch
        .watch(
          '/api/v1/nodes',
          { resourceVersion: metadata?.resourceVersion, labelSelector: 'stage=canary' },
          (type: string, node: V1Node) => {
            seen.push(`${type} ${node.metadata?.name}`);
            if (type === 'DELETED' && controller !== undefined) resolve(controller);
          },
          () => undefined,
        )
        .then((c) => {
          controller = c;
          for (const stage of ['canary', 'canary', 'stable']) {
            lab.api.store.modify('nodes', undefined, 'one', (n) => {
              n.metadata.labels = { ...n.metadata.labels, stage, count: String(seen.length + Math.random()) };
            });
          }
        }, reject);
    });
    aborter.abort();
    expect(seen).toEqual(['ADDED one', 'MODIFIED one', 'DELETED one']);
  });

  it('answers a watch from a compacted version with 410', async () => {
    lab.api.store.compact();
    lab.api.store.modify('nodes', undefined, 'one', (n) => {
      n.metadata.annotations = { again: 'yes' };
    });
    const ended = await new Promise<unknown>((resolve) => {
      new Watch(clientConfig(lab.api))
        .watch(
          '/api/v1/nodes',
          { resourceVersion: '1' },
          (type, object) => resolve([type, object.code]),
          resolve,
        )
        .catch(resolve);
    });
    expect(ended).toEqual(['ERROR', 410]);
  });

  it('refuses to replace a Lease that was changed in the meantime', async () => {
    const body = (holderIdentity: string): V1Lease => ({
      metadata: { name: 'run', namespace: 'apps' },
      spec: { holderIdentity, leaseDurationSeconds: 60, renewTime: new V1MicroTime() },
    });
    const mine = await leases.createNamespacedLease({ namespace: 'apps', body: body('me') });
    expect(
      await refusal(leases.createNamespacedLease({ namespace: 'apps', body: body('you') })),
    ).toMatchObject({
      code: 409,
      reason: 'AlreadyExists',
      message: 'leases.coordination.k8s.io "run" already exists',
      details: { name: 'run', group: 'coordination.k8s.io', kind: 'leases' },
    });
    const next = { ...mine, spec: { ...mine.spec, renewTime: new V1MicroTime() } };
    const renewed = await leases.replaceNamespacedLease({ namespace: 'apps', name: 'run', body: next });
    expect(renewed.metadata?.resourceVersion).not.toBe(mine.metadata?.resourceVersion);
    expect(
      await refusal(leases.replaceNamespacedLease({ namespace: 'apps', name: 'run', body: next })),
    ).toMatchObject({
      code: 409,
      reason: 'Conflict',
      message:
        'Operation cannot be fulfilled on leases.coordination.k8s.io "run": the object has been modified; please apply your changes to the latest version and try again',
    });
    expect(
      (await refusal(leases.replaceNamespacedLease({ namespace: 'apps', name: 'run', body: body('me') })))
        .code,
    ).toBe(422);
  });

  it('refuses a MicroTime with three decimal places, as Go does', async () => {
    const response = await call(lab.api, 'POST', '/apis/coordination.k8s.io/v1/namespaces/apps/leases', {
      metadata: { name: 'short' },
      spec: { renewTime: '2026-01-01T00:00:00.123Z' },
    });
    expect(response).toMatchObject({ code: 400, reason: 'BadRequest' });
  });

  it('evicts within the PodDisruptionBudget, and changes nothing in a dry run', async () => {
    lab.api.apply([deployment('web', 2), budget('web', 'web', { minAvailable: 1 })]);
    await lab.api.settled();
    const [first, second] = podsOf('web');
    if (first === undefined || second === undefined) throw new Error('no pods');
    const before = lab.api.store.version;
    await evict(first.metadata.name, 'All');
    await evict(second.metadata.name, 'All');
    expect(lab.api.store.version).toBe(before);
    // Cordon all nodes so that no replacement starts and the second pod stays the only healthy one.
    const setCordoned = (unschedulable: boolean) => {
      for (const name of ['one', 'two']) {
        lab.api.store.modify('nodes', undefined, name, (n) => {
          n.spec = { ...n.spec, unschedulable };
        });
      }
    };
    setCordoned(true);
    onTestFinished(() => setCordoned(false));
    await evict(first.metadata.name);
    expect(lab.api.store.get('pods', 'apps', first.metadata.name)?.status?.conditions).toContainEqual(
      expect.objectContaining({ type: 'DisruptionTarget', status: 'True', reason: 'EvictionByEvictionAPI' }),
    );
    await eventually(
      lab.api,
      'poddisruptionbudgets',
      'web',
      (found) => (found as PodDisruptionBudget).status?.currentHealthy === 1,
    );
    expect(await refusal(evict(second.metadata.name))).toMatchObject({
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
    setCordoned(false);
    await lab.api.settled();
    expect(podsOf('web')).toHaveLength(2);
    expect(lab.api.store.get('poddisruptionbudgets', 'apps', 'web')?.status).toMatchObject({
      disruptionsAllowed: 1,
      currentHealthy: 2,
      desiredHealthy: 1,
      expectedPods: 2,
    });
  });

  it('answers the eviction of a pod with two budgets with 500', async () => {
    lab.api.apply([
      deployment('twice', 1),
      budget('a', 'twice', { maxUnavailable: 1 }),
      budget('b', 'twice', { maxUnavailable: '100%' }),
    ]);
    await lab.api.settled();
    const [pod] = podsOf('twice');
    expect(await refusal(evict(pod?.metadata.name ?? ''))).toMatchObject({
      code: 500,
      message:
        'This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.',
    });
    expect((await refusal(evict('nobody'))).message).toBe('pods "nobody" not found');
  });

  it('evicts an unready pod only while enough others are healthy, unless the policy is AlwaysAllow', async () => {
    lab.api.apply([deployment('ill', 1), budget('ill', 'ill', { minAvailable: 1 })]);
    await lab.api.settled();
    const [pod] = podsOf('ill');
    const name = pod?.metadata.name ?? '';
    lab.api.store.modify('pods', 'apps', name, (p) => {
      for (const c of p.status?.conditions ?? []) if (c.type === 'Ready') c.status = 'False';
    });
    await lab.api.settled();
    expect((await refusal(evict(name))).code).toBe(429);
    lab.api.store.modify('poddisruptionbudgets', 'apps', 'ill', (b) => {
      b.spec = { ...b.spec, unhealthyPodEvictionPolicy: 'AlwaysAllow' };
    });
    await evict(name);
    expect(lab.api.store.get('pods', 'apps', name)?.metadata.deletionTimestamp).toBeDefined();
  });

  it('recreates a StatefulSet pod under the same name with a new uid', async () => {
    const { spec, ...rest } = deployment('db', 2);
    lab.api.apply([{ ...rest, kind: 'StatefulSet', spec: { ...spec, serviceName: 'db' } }]);
    await lab.api.settled();
    const old = await core.readNamespacedPod({ namespace: 'apps', name: 'db-0' });
    await evict('db-0');
    await lab.api.settled();
    const next = await core.readNamespacedPod({ namespace: 'apps', name: 'db-0' });
    expect(next.metadata?.uid).not.toBe(old.metadata?.uid);
    expect(next.status?.phase).toBe('Running');
  });

  it('keeps a deleted pod until its finalizer is removed', async () => {
    lab.api.apply([
      {
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: { name: 'held', namespace: 'apps', finalizers: ['example.com/hold'] },
        spec: { containers: [{ name: 'c', image: 'c:1' }] },
      },
    ]);
    await lab.api.settled();
    await core.deleteNamespacedPod({ namespace: 'apps', name: 'held' });
    await lab.api.settled();
    expect(
      (await core.readNamespacedPod({ namespace: 'apps', name: 'held' })).metadata?.deletionTimestamp,
    ).toBeInstanceOf(Date);
    await core.patchNamespacedPod({
      namespace: 'apps',
      name: 'held',
      body: [{ op: 'remove', path: '/metadata/finalizers' }],
    });
    expect((await refusal(core.readNamespacedPod({ namespace: 'apps', name: 'held' }))).reason).toBe(
      'NotFound',
    );
  });

  it('reports why no node fits a pod, and binds it once one does', async () => {
    for (const name of ['one', 'two']) {
      await core.patchNode({ name, body: [{ op: 'add', path: '/spec/unschedulable', value: true }] });
    }
    lab.api.apply([deployment('late', 1)]);
    await lab.api.settled();
    const [pod] = podsOf('late');
    expect(pod?.status?.conditions).toContainEqual(
      expect.objectContaining({
        type: 'PodScheduled',
        status: 'False',
        reason: 'Unschedulable',
        message:
          '0/2 nodes are available: 2 node(s) were unschedulable. no new claims to deallocate, preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling.',
      }),
    );
    const { items } = await core.listNamespacedEvent({
      namespace: 'apps',
      fieldSelector: `involvedObject.uid=${pod?.metadata.uid},reason=FailedScheduling`,
    });
    expect(items.map((e) => e.type)).toEqual(['Warning']);
    await core.patchNode({ name: 'two', body: [{ op: 'remove', path: '/spec/unschedulable' }] });
    await eventually(
      lab.api,
      'pods',
      pod?.metadata.name ?? '',
      (p) => (p.status as { phase?: string }).phase === 'Running',
    );
    expect(lab.api.store.get('pods', 'apps', pod?.metadata.name ?? '')?.spec?.nodeName).toBe('two');
    await core.patchNode({ name: 'one', body: [{ op: 'remove', path: '/spec/unschedulable' }] });
  });

  it('names every invalid field of an object', async () => {
    const batch = clientConfig(lab.api).makeApiClient(BatchV1Api);
    const body = {
      metadata: { name: 'Bad_Name' },
      spec: { template: { spec: { containers: [{ name: 'c', image: '' }] } } },
    };
    const status = await refusal(batch.createNamespacedJob({ namespace: 'apps', body }));
    expect(status).toMatchObject({ code: 422, reason: 'Invalid', details: { kind: 'Job', group: 'batch' } });
    expect(status.details?.causes?.map((c) => c.field)).toEqual([
      'metadata.name',
      'spec.template.spec.containers[0].image',
      'spec.template.spec.restartPolicy',
    ]);
  });

  it('refuses unknown fields when strict, drops them otherwise, and always refuses values of a wrong type', async () => {
    const path = '/api/v1/namespaces/apps/pods?dryRun=All';
    const pod = (container: object) => ({
      metadata: { name: 'p' },
      spec: { containers: [{ name: 'c', image: 'c:1', ...container }] },
    });
    expect(
      await call(lab.api, 'POST', `${path}&fieldValidation=Strict`, pod({ comand: ['x'] })),
    ).toMatchObject({
      code: 400,
      message:
        'Pod in version "v1" cannot be handled as a Pod: strict decoding error: unknown field "spec.containers[0].comand"',
    });
    const accepted = await call(lab.api, 'POST', path, pod({ comand: ['x'] }));
    expect(JSON.stringify(accepted)).not.toContain('comand');
    expect(await call(lab.api, 'POST', path, pod({ env: [{ name: 'A', value: 1 }] }))).toMatchObject({
      code: 400,
      message:
        'Pod in version "v1" cannot be handled as a Pod: json: cannot unmarshal number into Go struct field EnvVar.spec.containers.env.value of type string',
    });
    const seed = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'c', namespace: 'apps' }, dta: {} };
    expect(() => lab.api.apply([seed])).toThrow('unknown field "dta"');
  });

  it('accepts an Event about a node only in the namespace default', async () => {
    const event = {
      metadata: { generateName: 'one.' },
      involvedObject: { kind: 'Node', name: 'one', apiVersion: 'v1' },
      type: 'Normal',
      reason: 'Upgraded',
      message: 'at v1.34.5',
      firstTimestamp: new Date(),
      lastTimestamp: new Date(),
    };
    const created = await core.createNamespacedEvent({ namespace: 'default', body: event });
    expect(created.metadata.name).toMatch(/^one\.[a-z0-9]{5}$/);
    expect(await refusal(core.createNamespacedEvent({ namespace: 'apps', body: event }))).toMatchObject({
      code: 422,
    });
  });

  it('answers 401 to an unknown token and 403 to a request without a token', async () => {
    const config = clientConfig(lab.api);
    const [user] = config.users;
    config.users = [{ ...user, name: user?.name ?? '', token: 'stolen' }];
    expect(await refusal(config.makeApiClient(CoreV1Api).listNode())).toEqual({ code: 401 });
    config.users = [{ name: user?.name ?? '' }];
    expect((await refusal(config.makeApiClient(CoreV1Api).listNode())).message).toBe(
      'nodes is forbidden: User "system:anonymous" cannot list resource "nodes" in API group "" at the cluster scope',
    );
  });
});
