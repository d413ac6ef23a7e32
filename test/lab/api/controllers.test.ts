import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { seedCluster } from '../cluster.ts';
import { preference } from './controllers/placement.ts';
import { isReady } from './controllers/pods.ts';
import { call, eventually, namespace, startTestLab, type TestLab, testNode, until } from './testing.ts';
import type { DaemonSet, Node, Pod } from './types.ts';

describe('controllers', () => {
  let lab: TestLab;
  const budget = (name: string) => lab.api.store.get('poddisruptionbudgets', 'apps', name)?.status;

  beforeAll(async () => {
    lab = await startTestLab();
    await seedCluster(lab.api, { version: '1.34.2' });
  });
  afterAll(() => lab.stop());

  it('start a cluster in which every worker has pods to drain and every budget allows evictions', () => {
    const { store } = lab.api;
    expect(store.list('nodes').map((n) => n.metadata.name)).toEqual([
      'k8s-master',
      'k8s-node1',
      'k8s-node2',
      'k8s-node3',
      'k8s-node4',
    ]);
    for (const name of ['k8s-node1', 'k8s-node2', 'k8s-node3', 'k8s-node4']) {
      const own = store.list('pods', 'apps').filter((p) => p.spec?.nodeName === name);
      expect(own.length, name).toBeGreaterThan(0);
    }
    for (const b of store.list('poddisruptionbudgets')) {
      expect(b.status?.disruptionsAllowed, b.metadata.name).toBeGreaterThan(0);
    }
    const onMaster = store.list('pods').filter((p) => p.spec?.nodeName === 'k8s-master');
    expect(onMaster.map((p) => p.metadata.name.replace(/-(k8s-master|[a-z0-9]{5})$/, '')).sort()).toEqual(
      expect.arrayContaining([
        'etcd',
        'kube-apiserver',
        'kube-controller-manager',
        'kube-scheduler',
        'kube-proxy',
      ]),
    );
  });

  it('count wanted replicas for percentages and maxUnavailable, existing pods for minAvailable', () => {
    expect(budget('api')).toMatchObject({
      expectedPods: 4,
      desiredHealthy: 2,
      currentHealthy: 4,
      disruptionsAllowed: 2,
    });
    expect(budget('web')).toMatchObject({
      expectedPods: 6,
      desiredHealthy: 5,
      currentHealthy: 6,
      disruptionsAllowed: 1,
    });
    expect(budget('db')).toMatchObject({
      expectedPods: 3,
      desiredHealthy: 2,
      currentHealthy: 3,
      disruptionsAllowed: 1,
    });
  });

  it('create a deleted mirror pod again', async () => {
    const name = 'kube-scheduler-k8s-master';
    const before = lab.api.store.get('pods', 'kube-system', name)?.metadata.uid;
    await call(lab.api, 'DELETE', `/api/v1/namespaces/kube-system/pods/${name}`, { gracePeriodSeconds: 0 });
    const pod = await until(lab.api, () => {
      const found = lab.api.store.get('pods', 'kube-system', name);
      return found?.metadata.uid === before ? undefined : found;
    });
    expect(pod.status?.phase).toBe('Running');
  });

  it('update a DaemonSet whose template changed one pod at a time', async () => {
    const image = 'registry.k8s.io/kube-proxy:v1.34.5';
    let fewestReady = 5;
    const stop = lab.api.store.subscribe(({ resource, object }) => {
      const ready = (object as DaemonSet).status?.numberReady;
      if (resource === 'daemonsets' && object.metadata.name === 'kube-proxy')
        fewestReady = Math.min(fewestReady, ready ?? 5);
    });
    lab.api.store.modify('daemonsets', 'kube-system', 'kube-proxy', ({ spec }) => {
      for (const container of spec?.template.spec?.containers ?? []) container.image = image;
    });
    await lab.api.settled();
    stop();
    const pods = lab.api.store
      .list('pods', 'kube-system')
      .filter((p) => p.metadata.labels?.['k8s-app'] === 'kube-proxy');
    expect(pods.map((p) => p.spec?.containers[0]?.image)).toEqual(Array(5).fill(image));
    expect(fewestReady).toBe(4);
  });

  it('update a Deployment without ever falling below three quarters of its replicas', async () => {
    const ready = () =>
      lab.api.store
        .list('pods', 'apps')
        .filter(
          (p) => p.metadata.labels?.app === 'api' && p.metadata.deletionTimestamp === undefined && isReady(p),
        ).length;
    let fewest = ready();
    const stop = lab.api.store.subscribe(() => {
      fewest = Math.min(fewest, ready());
    });
    lab.api.store.modify('deployments', 'apps', 'api', ({ spec }) => {
      for (const container of spec?.template.spec?.containers ?? []) container.image = 'api:2';
    });
    await lab.api.settled();
    stop();
    const pods = lab.api.store.list('pods', 'apps').filter((p) => p.metadata.labels?.app === 'api');
    expect(pods.map((p) => p.spec?.containers[0]?.image)).toEqual(Array(4).fill('api:2'));
    expect(fewest).toBeGreaterThanOrEqual(3);
  });

  it('refuse a pod whose PriorityClass is missing, and otherwise set its priority', async () => {
    const pod = (priorityClassName: string) => ({
      metadata: { name: 'important', namespace: 'default' },
      spec: { priorityClassName, containers: [{ name: 'c', image: 'c:1' }] },
    });
    const path = '/api/v1/namespaces/default/pods?dryRun=All';
    expect(await call(lab.api, 'POST', path, pod('none'))).toMatchObject({
      code: 403,
      message: 'pods "important" is forbidden: no PriorityClass with name none was found',
    });
    expect(await call(lab.api, 'POST', path, pod('system-node-critical'))).toMatchObject({
      spec: { priority: 2_000_001_000 },
    });
  });

  it('delete dependents after the owner, before it or not at all, by propagation policy', async () => {
    const owner = (name: string) => ({
      apiVersion: 'batch/v1',
      kind: 'Job',
      metadata: { name, namespace: 'gc' },
      spec: {
        template: {
          spec: {
            restartPolicy: 'Never',
            containers: [{ name: 'c', image: 'lab/sh:1', args: ['sleep 60'] }],
          },
        },
      },
    });
    lab.api.apply([namespace('gc'), owner('background'), owner('foreground'), owner('orphan')]);
    const podOf = (job: string) =>
      until(lab.api, () =>
        lab.api.store
          .list('pods', 'gc')
          .find((p) => p.metadata.labels?.['job-name'] === job && p.status?.phase === 'Running'),
      );
    const remove = (name: string, policy?: string) =>
      call(
        lab.api,
        'DELETE',
        `/apis/batch/v1/namespaces/gc/jobs/${name}${policy === undefined ? '' : `?propagationPolicy=${policy}`}`,
      );
    const gone = (pod: Pod) =>
      eventually(lab.api, 'pods', pod.metadata.name, (_, type) => type === 'DELETED');

    const first = await podOf('background');
    const firstGone = gone(first);
    await remove('background', 'Background');
    expect(lab.api.store.get('jobs', 'gc', 'background')).toBeUndefined();
    await firstGone;

    const second = await podOf('foreground');
    const secondGone = gone(second);
    await remove('foreground', 'Foreground');
    expect(lab.api.store.get('jobs', 'gc', 'foreground')?.metadata.finalizers).toEqual([
      'foregroundDeletion',
    ]);
    await secondGone;
    await until(lab.api, () =>
      lab.api.store.get('jobs', 'gc', 'foreground') === undefined ? true : undefined,
    );

    // Without a policy, deleting a batch/v1 Job orphans its pods. kubectl always sends Background.
    const third = await podOf('orphan');
    await remove('orphan');
    await lab.api.settled();
    expect(lab.api.store.get('pods', 'gc', third.metadata.name)?.metadata.ownerReferences).toEqual([]);
    await call(lab.api, 'DELETE', '/api/v1/namespaces/gc/pods?labelSelector=job-name%3Dorphan', {
      gracePeriodSeconds: 0,
    });
    expect(lab.api.store.list('pods', 'gc')).toEqual([]);
  });

  it('rank nodes by the preferences of the pod', () => {
    const node = (release: string) =>
      ({ ...testNode(release), metadata: { name: release, labels: { release } } }) as unknown as Node;
    const term = (values: string[], weight: number) => ({
      weight,
      preference: { matchExpressions: [{ key: 'release', operator: 'In', values }] },
    });
    const preferredDuringSchedulingIgnoredDuringExecution = [term(['new'], 50), term(['new', 'old'], 10)];
    const spec = {
      containers: [],
      affinity: { nodeAffinity: { preferredDuringSchedulingIgnoredDuringExecution } },
    };
    expect([node('new'), node('old'), node('other')].map((n) => preference(spec, n))).toEqual([60, 10, 0]);
  });
});
