import { alertGate } from './alerts.ts';
import { compatibilityGates } from './compatibility/index.ts';
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

/** Asked at preflight, all of them, before anything is touched. */
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

/** Asked again before every drain. */
export const drainGates: readonly Gate[] = [killSwitchGate, alertGate];

/** Asked about a node that joined after preflight: what of preflight a single node can fail. */
export const joinGates: readonly Gate[] = [upgradable, ...compatibilityGates, drainable];

/** Asked after the control plane. */
export const controlPlaneGates: readonly Gate[] = [nodesReady, controlPlanePods];

/** Asked all through a soak. */
export const soakGates: readonly Gate[] = [alertGate];

/** Asked at the end. */
export const postflightGates: readonly Gate[] = [nodesReady, controlPlanePods, podRatio, alertGate];
