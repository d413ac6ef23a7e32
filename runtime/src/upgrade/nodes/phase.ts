import type { ClusterNode } from '../../cluster/nodes.ts';
import type { NodePhase } from '../../report/events.ts';
import type { Context } from '../context.ts';

/** Reports that the node is in this phase of its upgrade. */
export function reportPhase(
  ctx: Context,
  node: ClusterNode,
  phase: NodePhase,
  more: { seconds?: number; pods?: number } = {},
): void {
  ctx.report.emit({
    type: 'node',
    node: node.name,
    phase,
    from: node.release,
    to: ctx.request.target,
    ...more,
  });
}

/** Seconds since a time in ms since the epoch. */
export const since = (started: number): number => (Date.now() - started) / 1000;
