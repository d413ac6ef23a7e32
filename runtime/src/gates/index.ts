import { alertsGate } from './alerts.ts';
import { compatibilityGates } from './compatibility/index.ts';
import { controlPlaneGate } from './control-plane.ts';
import { controlPlaneFirst } from './control-plane-first.ts';
import { drainGate } from './drain.ts';
import { etcdMembers } from './etcd-members.ts';
import type { Gate } from './gate.ts';
import { killSwitchGate } from './kill-switch.ts';
import { kubeadmPlan } from './kubeadm-plan.ts';
import { nodesGate } from './nodes.ts';
import { packagesGate } from './packages.ts';
import { podRatio } from './pod-ratio.ts';
import { quiet } from './quiet.ts';
import { upgradable } from './upgradable.ts';
import { versionPath } from './version-path.ts';

/** Asked at preflight, all of them, before anything is changed. */
export const preflightGates: readonly Gate[] = [
  killSwitchGate,
  nodesGate,
  controlPlaneGate,
  etcdMembers,
  alertsGate,
  quiet,
  versionPath,
  packagesGate,
  upgradable,
  kubeadmPlan,
  ...compatibilityGates,
  drainGate,
];

/** Asked before every drain. */
export const beforeDrainGates: readonly Gate[] = [killSwitchGate, alertsGate];

/** Asked before the drain of a worker. */
export const workerGates: readonly Gate[] = [...beforeDrainGates, controlPlaneFirst];

/** Asked before the first stage where the control plane's own is left out. */
export const workersAloneGates: readonly Gate[] = [controlPlaneFirst];

/** Asked before the drain of a node that joined after preflight: whether what is left can be upgraded and drained. */
export const joinGates: readonly Gate[] = [upgradable, ...compatibilityGates, drainGate];

/** Asked once the control plane is through. */
export const afterControlPlaneGates: readonly Gate[] = [nodesGate, controlPlaneGate];

/** Asked before each of several control-plane nodes: all others are well. */
export const nextControlPlaneGates: readonly Gate[] = [...afterControlPlaneGates, etcdMembers];

/** Asked before containerd restarts on a control-plane node. */
export const beforeContainerdGates: readonly Gate[] = [...beforeDrainGates, ...nextControlPlaneGates];

/** Asked all through a soak. */
export const soakGates: readonly Gate[] = [alertsGate];

/** Asked at the end. */
export const postflightGates: readonly Gate[] = [nodesGate, controlPlaneGate, podRatio, alertsGate];
