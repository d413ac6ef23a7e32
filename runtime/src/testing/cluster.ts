import type { V1Container, V1Pod } from '@kubernetes/client-node';
import type { Component } from '../cluster/control-plane-pods.ts';
import type { ClusterNode } from '../cluster/nodes.ts';
import { parseRelease, type Release } from '../release.ts';
import { packageNames, type RepositoryPackage } from '../releases/packages.ts';
import { parseSettings, type Settings, type SettingsInput } from '../settings/settings.ts';

/** The taint that kubeadm sets on control-plane nodes. */
export const controlPlaneTaint = {
  key: 'node-role.kubernetes.io/control-plane',
  value: '',
  effect: 'NoSchedule',
};

/** A worker at 1.34.2 that has long been Ready. */
export function clusterNode(name: string, change: Partial<ClusterNode> = {}): ClusterNode {
  return {
    name,
    version: undefined,
    address: `10.0.0.${(Number(/\d+$/.exec(name)?.[0] ?? 0) % 200) + 10}`,
    controlPlane: false,
    release: parseRelease('test', '1.34.2'),
    containerd: '1.7.27',
    ready: true,
    readySince: 0,
    reportedAt: Date.now(),
    pressures: [],
    unschedulable: false,
    cordonedByUs: false,
    cordonedEarlier: false,
    changedAt: undefined,
    daemonSets: [],
    unfinished: false,
    kubeadmOnly: false,
    soakingSince: undefined,
    stale: [],
    taints: [],
    labels: { 'kubernetes.io/hostname': name },
    ...change,
  };
}

/** The packages of a release in a repository, for amd64. */
export const packagesOf = (release: Release): RepositoryPackage[] =>
  packageNames.map((name) => ({
    name,
    release,
    architecture: 'amd64',
    filename: `amd64/${name}_${release}-1.1_amd64.deb`,
  }));

/** Settings whose required URLs lead nowhere. */
export const testSettings = (change: Partial<SettingsInput> = {}): Settings =>
  parseSettings('test', {
    prometheus: { url: 'http://127.0.0.1:9' },
    pushgateway: { url: 'http://127.0.0.1:9' },
    ...change,
  });

/** etcd's command line as kubeadm writes it, without what nobody reads. */
const etcdCommand = [
  'etcd',
  '--cert-file=/etc/kubernetes/pki/etcd/server.crt',
  '--data-dir=/var/lib/etcd',
  '--key-file=/etc/kubernetes/pki/etcd/server.key',
  '--listen-client-urls=https://127.0.0.1:2379,https://10.0.0.1:2379',
  '--trusted-ca-file=/etc/kubernetes/pki/etcd/ca.crt',
];

/** The mirror pod of a component of kubeadm's control plane, Ready. @param image of its container. */
export function componentPod(
  component: Component,
  node: string,
  image: string,
  container: Partial<V1Container> = {},
): V1Pod {
  const command = component === 'etcd' ? etcdCommand : [component];
  return {
    metadata: {
      name: `${component}-${node}`,
      namespace: 'kube-system',
      labels: { component, tier: 'control-plane' },
      annotations: { 'kubernetes.io/config.mirror': 'hash' },
    },
    spec: { nodeName: node, containers: [{ name: component, image, command, ...container }] },
    status: { phase: 'Running', conditions: [{ type: 'Ready', status: 'True' }] },
  };
}

/** A running pod of the namespace `apps`, controlled by a ReplicaSet. */
export function pod(name: string, change: Partial<V1Pod> = {}): V1Pod {
  const { metadata, ...rest } = change;
  return {
    status: { phase: 'Running' },
    ...rest,
    metadata: {
      name,
      namespace: 'apps',
      uid: `uid-of-${name}`,
      ownerReferences: [ownedBy('ReplicaSet')],
      ...metadata,
    },
  };
}

/** The reference of a controller. */
export const ownedBy = (kind: string, name = 'owner', controller = true) => ({
  apiVersion: 'apps/v1',
  kind,
  name,
  uid: `uid-of-${name}`,
  controller,
});

/** The pod of a Job on a node that no longer responds. @param minutes since its deletion was due. */
export const terminating = (job: string, minutes: number): V1Pod => ({
  metadata: {
    name: 'upgrade-1-pod',
    namespace: 'k8s-upgrade',
    creationTimestamp: new Date(Date.now() - 3_600_000),
    deletionTimestamp: new Date(Date.now() - minutes * 60_000),
    labels: { 'batch.kubernetes.io/job-name': job },
  },
  spec: { nodeName: 'node7', containers: [{ name: 'upgrade', image: 'upgrade:1' }] },
  status: { phase: 'Running' },
});
