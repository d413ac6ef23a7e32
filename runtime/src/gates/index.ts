import { alertsGate, soakedAlertsGate } from './alerts.ts';
import { compatibilityGates } from './compatibility/index.ts';
import { componentsGate } from './components.ts';
import { controlPlaneGate } from './control-plane.ts';
import { controlPlaneFirst } from './control-plane-first.ts';
import { drainGate } from './drain.ts';
import { etcdMembers } from './etcd-members.ts';
import type { Gate } from './gate.ts';
import { killSwitchGate } from './kill-switch.ts';
import { addOnsAfter } from './kubeadm/addons-after.ts';
import { kubeadmAddOns } from './kubeadm/kubeadm-addons.ts';
import { kubeadmChanges } from './kubeadm/kubeadm-changes.ts';
import { kubeadmPlan } from './kubeadm-plan.ts';
import { nodesGate } from './nodes.ts';
import { packagesGate } from './packages.ts';
import { podRatio } from './pod-ratio.ts';
import { quiet } from './quiet.ts';
import { soakedPods } from './soaked-pods.ts';
import { upgradable } from './upgradable.ts';
import { versionPath } from './version-path.ts';

/** Checked at preflight, before anything is changed. */
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
  kubeadmChanges,
  kubeadmAddOns,
  ...compatibilityGates,
  drainGate,
];

/** Checked before every drain. */
export const beforeDrainGates: readonly Gate[] = [killSwitchGate, alertsGate];

/** Checked before the drain of a worker. */
export const workerGates: readonly Gate[] = [...beforeDrainGates, controlPlaneFirst];

/** Checked before the first stage of a run that upgrades workers without the stage `master`. */
export const workersAloneGates: readonly Gate[] = [controlPlaneFirst];

/** Checked before the drain of a node that joined after preflight: whether it can be upgraded and drained. */
export const joinGates: readonly Gate[] = [upgradable, ...compatibilityGates, drainGate];

/** Checked after the upgrade of the control plane. */
export const afterControlPlaneGates: readonly Gate[] = [nodesGate, controlPlaneGate];

/** Checked before each of several control-plane nodes: all others must be healthy. */
export const nextControlPlaneGates: readonly Gate[] = [...afterControlPlaneGates, etcdMembers];

/** Checked before containerd restarts on a control-plane node. */
export const beforeContainerdGates: readonly Gate[] = [...beforeDrainGates, ...nextControlPlaneGates];

/** Checked throughout a soak. */
export const soakGates: readonly Gate[] = [alertsGate];

/** Checked once the time of a soak is over. */
export const endOfSoakGates: readonly Gate[] = [soakedAlertsGate, soakedPods];

/** Checked at post-flight. */
export const postflightGates: readonly Gate[] = [
  nodesGate,
  controlPlaneGate,
  componentsGate,
  addOnsAfter,
  podRatio,
  alertsGate,
];
