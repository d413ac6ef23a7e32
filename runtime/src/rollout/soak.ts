import type { ClusterNode } from '../cluster/nodes.ts';
import type { Settings } from '../settings/settings.ts';

/** A node's soak. Times in epoch milliseconds. */
export interface Soak {
  /** No later than the start of what the rollout did to the node: what is older has another cause. */
  readonly since: number;
  /** When its time is over. */
  readonly end: number;
}

/** The soak that is due on the node; undefined when none is. */
export function soakOf(node: ClusterNode, { timing, drain }: Settings): Soak | undefined {
  if (node.soakingSince === undefined) return undefined;
  const changed = Math.min(node.changedAt ?? node.soakingSince, node.soakingSince);
  // A drain that comes first is over when the node is recorded as changed.
  const since = drain.before === 'kubeadm' ? changed - drain.timeout : changed;
  return { since, end: node.soakingSince + (node.controlPlane ? timing.controlPlaneSoak : timing.soak) };
}
