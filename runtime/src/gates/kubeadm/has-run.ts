import type { ClusterNode } from '../../cluster/nodes.ts';
import { compareReleases } from '../../release.ts';
import { isChanged, isInProgress } from '../../rollout/node-annotations.ts';
import type { Findings, GateContext } from '../gate.ts';

/**
 * Whether kubeadm of the rollout in flight has started on a node: later its ConfigMaps are those of the new
 * release. An update of containerd changes nodes, too, and nothing of kubeadm.
 */
export function kubeadmHasRun(nodes: readonly ClusterNode[], inFlight: GateContext['inFlight']): boolean {
  const isOldest = ({ release }: ClusterNode) =>
    nodes.every((other) => compareReleases(release, other.release) <= 0);
  return nodes.some((node) => isChanged(node, inFlight) && (isInProgress(node) || !isOldest(node)));
}

/** For a gate that is asked only before that. */
export const checkedBefore: Findings = {
  reasons: [],
  notAsked: 'not checked: this rollout checked it before it changed a node',
};
