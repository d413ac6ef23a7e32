import type { V1Pod } from '@kubernetes/client-node';
import type { ClusterNode } from '../cluster/nodes.ts';
import { parseRelease } from '../release.ts';
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
    changedAt: undefined,
    unfinished: false,
    kubeadmOnly: false,
    soakingSince: undefined,
    taints: [],
    labels: { 'kubernetes.io/hostname': name },
    ...change,
  };
}

/** Settings whose required URLs lead nowhere. */
export const testSettings = (change: Partial<SettingsInput> = {}): Settings =>
  parseSettings('test', {
    prometheus: { url: 'http://127.0.0.1:9' },
    pushgateway: { url: 'http://127.0.0.1:9' },
    ...change,
  });

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
