import { alertGate } from './alerts.ts';
import { compatibilityGates } from './compatibility/index.ts';
import { controlPlaneFirst } from './control-plane-first.ts';
import { controlPlanePods } from './control-plane-pods.ts';
import { drainable } from './drainable.ts';
import { etcdMembers } from './etcd-members.ts';
import type { Gate } from './gate.ts';
import { killSwitchGate } from './kill-switch.ts';
import { kubeadmPlan } from './kubeadm-plan.ts';
import { nodesReady } from './nodes-ready.ts';
import { podRatio } from './pod-ratio.ts';
import { quiet } from './quiet.ts';
import { targetPublished } from './target-published.ts';
import { upgradable } from './upgradable.ts';
import { versionPath } from './version-path.ts';

/** Asked at preflight, all of them, before anything is changed. */
export const preflightGates: readonly Gate[] = [
  killSwitchGate,
  nodesReady,
  controlPlanePods,
  etcdMembers,
  alertGate,
  quiet,
  versionPath,
  targetPublished,
  upgradable,
  kubeadmPlan,
  ...compatibilityGates,
  drainable,
];

/** Asked before every drain. */
export const drainGates: readonly Gate[] = [killSwitchGate, alertGate];

/** Asked before the drain of a worker. */
export const workerGates: readonly Gate[] = [...drainGates, controlPlaneFirst];

/** Asked before the first stage where the control plane's own is left out. */
export const workersAloneGates: readonly Gate[] = [controlPlaneFirst];

/** Asked before the drain of a node that joined after preflight: whether what is left can be upgraded and drained. */
export const joinGates: readonly Gate[] = [upgradable, ...compatibilityGates, drainable];

/** Asked once the control plane is through. */
export const controlPlaneGates: readonly Gate[] = [nodesReady, controlPlanePods];

/** Asked before each of several control-plane nodes: all others are well. */
export const nextControlPlaneGates: readonly Gate[] = [...controlPlaneGates, etcdMembers];

/** Asked before containerd restarts on a control-plane node. */
export const containerdGates: readonly Gate[] = [...drainGates, ...nextControlPlaneGates];

/** Asked all through a soak. */
export const soakGates: readonly Gate[] = [alertGate];

/** Asked at the end. */
export const postflightGates: readonly Gate[] = [nodesReady, controlPlanePods, podRatio, alertGate];
