import { CoreV1Api } from '@kubernetes/client-node';
import { beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { annotationKeys, jobLabels, objectNames } from '../../runtime/src/names.ts';
import type { AllowedBy } from './api/auth/rbac.ts';
import type { LabApi } from './api/index.ts';
import { startTestLab } from './api/testing.ts';
import { clientConfig } from './api/testing-client.ts';
import { seedCluster, threeControlPlanes } from './cluster.ts';
import { Invariants } from './invariants.ts';

const keys = annotationKeys('viktorbarzin.me');
const { namespace } = objectNames;
const asItsRole: AllowedBy = {
  role: 'ClusterRole',
  namespace: '',
  name: objectNames.executorServiceAccount,
  rule: 2,
};
const now = () => new Date().toISOString();

describe('a lab notices', () => {
  let api: LabApi;
  let invariants: Invariants;
  beforeEach(async () => {
    const testLab = await startTestLab();
    onTestFinished(testLab.stop);
    api = testLab.api;
    await seedCluster(api, { version: '1.34.2', nodes: threeControlPlanes });
    api.apply([
      { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } },
      {
        apiVersion: 'coordination.k8s.io/v1',
        kind: 'Lease',
        metadata: { name: objectNames.lease, namespace },
        spec: { holderIdentity: 'run/pod', leaseDurationSeconds: 60, renewTime: now().replace('Z', '000Z') },
      } as never,
    ]);
    invariants = new Invariants(api, 'viktorbarzin.me');
  });

  const mark = (node: string, key: string) =>
    api.store.modify('nodes', undefined, node, (one) => {
      one.metadata.annotations = { ...one.metadata.annotations, [key]: now() };
    });
  const unmark = (node: string) =>
    api.store.modify('nodes', undefined, node, (one) => {
      one.metadata.annotations = {};
    });
  const cordon = (node: string) =>
    api.store.modify('nodes', undefined, node, (one) => {
      one.spec = { ...one.spec, unschedulable: true };
    });
  const report = (node: string, version: string) =>
    api.store.modify('nodes', undefined, node, ({ status }) => {
      if (status?.nodeInfo) status.nodeInfo.kubeletVersion = `v${version}`;
    });
  const job = (n: number, node: string) => {
    const labels = { [jobLabels.run]: 'run', [jobLabels.number]: String(n) };
    const spec = {
      suspend: true,
      template: { spec: { restartPolicy: 'Never', containers: [{ name: 'c', image: 'i' }] } },
    };
    api.apply([
      { apiVersion: 'batch/v1', kind: 'Job', metadata: { name: `job-${n}`, namespace, labels }, spec },
      {
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: { name: `job-${n}`, namespace, labels },
        spec: { nodeName: node, containers: [{ name: 'c', image: 'i' }] },
      },
    ] as never);
  };

  it('a cordon of the node under the running Job', () => {
    job(1, 'k8s-node1');
    mark('k8s-node2', keys.cordoned);
    expect(invariants.broken).toEqual([]);
    mark('k8s-node1', keys.cordoned);
    expect(invariants.broken).toEqual(['k8s-node1 is drained (its cordon) under job-1']);
  });

  it('the eviction of a pod on the node under the running Job', async () => {
    job(1, 'k8s-node1');
    const evict = async (node: string) => {
      const pod = { apiVersion: 'v1', kind: 'Pod', metadata: { name: `pod-of-${node}`, namespace } };
      api.apply([{ ...pod, spec: { nodeName: node, containers: [{ name: 'c', image: 'i' }] } }] as never);
      const core = clientConfig(api, 'admin').makeApiClient(CoreV1Api);
      const name = pod.metadata.name;
      await core.createNamespacedPodEviction({ name, namespace, body: { metadata: { name, namespace } } });
    };
    await evict('k8s-node2');
    expect(invariants.broken).toEqual([]);
    await evict('k8s-node1');
    expect(invariants.broken).toEqual([
      `k8s-node1 is drained (the eviction of ${namespace}/pod-of-k8s-node1) under job-1`,
    ]);
  });

  it('and not the end of a Job that has handed over', () => {
    job(1, 'k8s-node1');
    job(2, 'k8s-node2');
    mark('k8s-node1', keys.cordoned);
    expect(invariants.broken).toEqual([]);
    mark('k8s-node2', keys.unfinished);
    expect(invariants.broken).toEqual(['k8s-node2 is drained (its cordon) under job-2']);
  });

  it('a second control-plane node that is taken down, and not a worker or one after the other', () => {
    mark('k8s-master', keys.cordoned);
    mark('k8s-node1', keys.cordoned);
    unmark('k8s-master');
    mark('k8s-master2', keys.cordoned);
    expect(invariants.broken).toEqual([]);
    mark('k8s-master3', keys.cordoned);
    expect(invariants.broken).toEqual(['k8s-master3 is taken down while k8s-master2 is']);
  });

  it('F47: not the mark of a rollout before the one in flight', () => {
    api.store.modify('namespaces', undefined, namespace, (one) => {
      one.metadata.annotations = { [keys.inFlight]: '2026-02-01T12:00:00.000Z' };
    });
    const markAs = (node: string, annotations: Record<string, string>) =>
      api.store.modify('nodes', undefined, node, (one) => {
        one.metadata.annotations = annotations;
      });
    markAs('k8s-master2', { [keys.cordoned]: '2026-01-04T12:00:00.000Z' });
    markAs('k8s-master', { [keys.cordoned]: '2026-02-01T12:00:00.000Z' });
    expect(invariants.broken).toEqual([]);
    markAs('k8s-master3', { [keys.cordoned]: '2026-02-01T12:00:00.000Z' });
    expect(invariants.broken).toEqual(['k8s-master3 is taken down while k8s-master is']);
  });

  it('a program that asks for what no role allows it, and not a refusal that is about something else', () => {
    const ask = (serviceAccount: string, status: number, allowedBy?: AllowedBy) => {
      api.requests.add({
        ...{ time: new Date(), group: '', path: '', dryRun: false, status, allowedBy },
        ...{ user: `system:serviceaccount:${namespace}:${serviceAccount}`, verb: 'create' },
        ...{ resource: 'pods', subresource: 'eviction', namespace: 'apps', name: 'web' },
      });
      invariants.check(api.requests.all);
    };
    ask(objectNames.executorServiceAccount, 201, asItsRole);
    ask(objectNames.executorServiceAccount, 403, asItsRole);
    ask('somebody-else', 403);
    expect(invariants.broken).toEqual([]);
    ask(objectNames.executorServiceAccount, 403);
    ask(objectNames.executorServiceAccount, 403);
    expect(invariants.broken).toEqual(['k8s-version-upgrade may not create pods/web/eviction in apps']);
  });

  it('a kubelet that becomes newer than the API server, and not one that was before', () => {
    for (const node of ['k8s-node1', 'k8s-node2']) cordon(node);
    report('k8s-node1', '1.34.1');
    api.setVersion('1.34.5');
    report('k8s-node1', '1.34.5');
    api.setVersion('1.34.2');
    mark('k8s-node1', keys.soaking);
    expect(invariants.broken).toEqual([]);
    report('k8s-node2', '1.34.10');
    expect(invariants.broken).toEqual(['k8s-node2 goes to 1.34.10, and the API server is at 1.34.2']);
  });

  it('a kubelet that changes while its node serves, and not one on a cordoned node', () => {
    cordon('k8s-node1');
    report('k8s-node1', '1.34.1');
    expect(invariants.broken).toEqual([]);
    report('k8s-node2', '1.34.1');
    expect(invariants.broken).toEqual(['the kubelet of k8s-node2 goes to 1.34.1 while the node serves']);
  });
});
