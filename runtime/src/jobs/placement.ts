import type { V1Toleration } from '@kubernetes/client-node';
import type { ClusterNode } from '../cluster/nodes.ts';

/** Where a Job may run. */
export interface Placement {
  /** The nodes that the Job drains, in order. It must not run on any of them. */
  readonly drains: readonly ClusterNode[];
  /** Ready, schedulable nodes, preferred by the scheduler (not required). */
  readonly prefers: readonly ClusterNode[];
}

/** Why no Job can be placed. */
export interface Unplaceable {
  /** `NODE: why`, one for each node. */
  readonly reasons: readonly string[];
}

/**
 * Chooses where the next Job runs, so that it never runs on a node that it drains (F1) and does not wait for
 * one that cannot run it (F4). Prefers upgraded nodes. If there are none, it picks the last pending node
 * that can run the Job; a later Job upgrades that one.
 *
 * @param pending the nodes that still have to be upgraded, in the order of the rollout.
 * @param upgraded the others.
 * @param tolerations of the Job's pod.
 * @param avoid the node that runs the Job that hands over, because this Job drains it.
 */
export function placeJob(
  pending: readonly ClusterNode[],
  upgraded: readonly ClusterNode[],
  tolerations: readonly V1Toleration[],
  avoid?: string,
): Placement | Unplaceable {
  const hosts = upgraded.filter((node) => schedulingObstacle(node, tolerations) === undefined);
  if (hosts.length > 0) return { drains: pending, prefers: hosts };
  const [first, ...later] = pending;
  const host = later.findLast(
    (node) => node.name !== avoid && schedulingObstacle(node, tolerations) === undefined,
  );
  if (host !== undefined) return { drains: pending.filter((node) => node !== host), prefers: [host] };
  const drainedNext = 'the next Job drains it';
  const reasons = [...upgraded, ...later].map(
    (node) => `${node.name}: ${schedulingObstacle(node, tolerations) ?? drainedNext}`,
  );
  if (first !== undefined) reasons.unshift(`${first.name}: ${drainedNext}`);
  return { reasons };
}

/** Why the scheduler would not assign a Job to this node; undefined when it would. */
function schedulingObstacle(node: ClusterNode, tolerations: readonly V1Toleration[]): string | undefined {
  if (!node.ready) return 'not Ready';
  if (node.unschedulable) return 'cordoned';
  const taint = node.taints.find(
    (t) => t.effect !== 'PreferNoSchedule' && !tolerations.some((one) => tolerates(one, t)),
  );
  return taint && `taint ${taint.key}${taint.value && `=${taint.value}`}:${taint.effect}`;
}

/** Matches as the scheduler does: an empty key tolerates every key, an empty effect every effect. */
function tolerates(toleration: V1Toleration, taint: ClusterNode['taints'][number]): boolean {
  if (toleration.effect && toleration.effect !== taint.effect) return false;
  if (toleration.key && toleration.key !== taint.key) return false;
  if (toleration.operator === 'Exists') return true;
  return Boolean(toleration.key) && (toleration.value ?? '') === taint.value;
}
