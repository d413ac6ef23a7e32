import type { V1Pod } from '@kubernetes/client-node';
import { describe, expect, test } from 'vitest';
import { clusterNode, componentPod } from '../testing/cluster.ts';
import { checkOneGate } from '../testing/gate-context.ts';
import { controlPlaneGate } from './control-plane.ts';

const nodes = [
  clusterNode('m1', { controlPlane: true }),
  clusterNode('m2', { controlPlane: true }),
  clusterNode('k8s-node1'),
];
const notReady = { phase: 'Running', conditions: [{ type: 'Ready', status: 'False' }] };
const check = async (...pods: V1Pod[]) => (await checkOneGate(controlPlaneGate, { nodes, pods })).reasons;
const own = ['m1', 'm2'].map((node) => componentPod('kube-apiserver', node, 'a:v1.34.5'));

test('is closed by a pod of the control plane that is not Ready', async () => {
  const scheduler = { ...componentPod('kube-scheduler', 'm2', 'a:v1.34.5'), status: notReady };
  expect(await check(...own)).toEqual([]);
  expect(await check(...own, scheduler)).toEqual(['pod kube-system/kube-scheduler-m2 is not Ready']);
  expect(await check(...own, { ...scheduler, status: { phase: 'Failed' } })).toHaveLength(1);
});

describe("somebody else's pod with the labels of the control plane (F39)", () => {
  const labels = { tier: 'control-plane', component: 'kube-apiserver' };
  const annotations = { 'kubernetes.io/config.mirror': 'hash' };
  const pod = (metadata: V1Pod['metadata'], nodeName: string, status: V1Pod['status']): V1Pod => ({
    metadata: { labels, ...metadata },
    spec: { nodeName, containers: [{ name: 'kube-apiserver', image: 'a:v1' }] },
    status,
  });
  const foreign: [what: string, metadata: V1Pod['metadata'], node: string][] = [
    ['in another namespace', { namespace: 'tenant', name: 'kube-apiserver-m1', annotations }, 'm1'],
    ['in kube-system', { namespace: 'kube-system', name: 'karmada-apiserver-7f' }, 'm1'],
    ['of a Job', { namespace: 'kube-system', name: 'backup-x' }, 'm2'],
    ['that is another static pod', { namespace: 'kube-system', name: 'kube-vip-m1', annotations }, 'm1'],
    [
      'that is a static pod of a worker',
      { namespace: 'kube-system', name: 'kube-apiserver-k8s-node1', annotations },
      'k8s-node1',
    ],
  ];
  test.each(foreign)('%s does not close it, finished or not', async (_what, metadata, node) => {
    const pods = [notReady, { phase: 'Succeeded' }, { phase: 'Failed' }].map((status) =>
      pod(metadata, node, status),
    );
    expect(await check(...own, ...pods)).toEqual([]);
  });
  test.each(foreign)('%s does not stand for the pods of a node', async (_what, metadata) => {
    const ready = { phase: 'Running', conditions: [{ type: 'Ready', status: 'True' }] };
    expect(await check(own[0] as V1Pod, pod(metadata, 'm2', ready))).toEqual(['m2 has no control-plane pod']);
  });
});
