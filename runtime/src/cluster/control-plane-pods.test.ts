import type { V1Pod } from '@kubernetes/client-node';
import { describe, expect, test } from 'vitest';
import { clusterNode, componentPod } from '../testing/cluster.ts';
import { componentOf, controlPlanePods, flagValues, ownContainer, tagOf } from './control-plane-pods.ts';

const nodes = [clusterNode('k8s-master', { controlPlane: true }), clusterNode('k8s-node1')];
const own = componentPod('kube-apiserver', 'k8s-master', 'registry.k8s.io/kube-apiserver:v1.34.5');
const changed = (metadata: V1Pod['metadata'], spec: object = {}): V1Pod => ({
  ...own,
  metadata: { ...own.metadata, ...metadata },
  spec: { containers: [], ...own.spec, ...spec },
});

describe('the pods of the control plane (F39)', () => {
  test.each(['etcd', 'kube-apiserver', 'kube-controller-manager', 'kube-scheduler'] as const)(
    'are the mirror pod of %s on its node, whatever its labels',
    (component) => {
      const pod = componentPod(component, 'k8s-master', 'a:1');
      const bare = { ...pod, metadata: { ...pod.metadata, labels: {} } };
      expect(componentOf(bare)).toBe(component);
      expect(controlPlanePods([bare], nodes)).toEqual([bare]);
    },
  );

  const foreign: [what: string, pod: V1Pod][] = [
    ['in another namespace', changed({ namespace: 'tenant-a' })],
    ['that is no mirror', changed({ annotations: {} })],
    ['without annotations', { metadata: { name: 'kube-apiserver-k8s-master', namespace: 'kube-system' } }],
    ['of another name', changed({ name: 'kube-vip-k8s-master' })],
    ['with a longer name', changed({ name: 'kube-apiserver-k8s-master-0' })],
    ['named after another node', changed({ name: 'kube-apiserver-k8s-node1' })],
    ['that is not scheduled', changed({}, { nodeName: undefined })],
    ['that is a Job, with the labels', changed({ name: 'backup-1', annotations: {} })],
  ];
  test.each(foreign)('are no pod %s', (_what, pod) => {
    expect(componentOf(pod)).toBeUndefined();
    expect(controlPlanePods([pod], nodes)).toEqual([]);
  });

  test('are not on workers, nor on nodes that are not there', () => {
    const pods = ['k8s-node1', 'gone'].map((node) => componentPod('kube-apiserver', node, 'a:1'));
    expect(controlPlanePods(pods, nodes)).toEqual([]);
  });

  test('can be asked for by component', () => {
    const etcd = componentPod('etcd', 'k8s-master', 'etcd:1');
    expect(controlPlanePods([own, etcd], nodes, ['etcd'])).toEqual([etcd]);
  });
});

test('the container of a component has its name, wherever it stands (F36)', () => {
  const sidecars = [{ name: 'kms', image: 'kms:v0.3.0' }];
  const pod = changed({}, { containers: [...sidecars, ...(own.spec?.containers ?? [])] });
  expect(ownContainer(pod)?.image).toBe('registry.k8s.io/kube-apiserver:v1.34.5');
  expect(ownContainer(changed({}, { containers: sidecars }))).toBeUndefined();
  expect(ownContainer(changed({ name: 'kube-vip-k8s-master' }))).toBeUndefined();
});

test.each<[command: string[], args: string[], values: string[]]>([
  [['etcd', '--data-dir=/a'], [], ['/a']],
  [['etcd', '--data-dir', '/a'], [], ['/a']],
  [
    ['etcd', '-data-dir=/a'],
    ['-data-dir', '/b'],
    ['/a', '/b'],
  ],
  [['etcd', '--data-dir'], ['/a'], ['/a']],
  [['etcd', '--data-dir='], [], ['']],
  [['etcd', '--data-dir-x=/a', 'data-dir=/a', '--data-dir'], [], []],
])('flags of %j %j: %j', (command, args, values) => {
  expect(flagValues({ name: 'etcd', command, args }, 'data-dir')).toEqual(values);
});

test.each([
  ['registry.k8s.io/etcd:3.6.5-0', '3.6.5-0'],
  ['reg:5000/kube-apiserver:v1.34.5@sha256:ab', 'v1.34.5'],
  ['reg:5000/kube-apiserver', undefined],
  ['reg/kube-apiserver@sha256:ab', undefined],
  ['', undefined],
])('the tag of %s: %s', (image, tag) => {
  expect(tagOf(image)).toBe(tag);
});
