import type { ClusterNode } from '../../cluster/nodes.ts';
import { stageThatRolls } from '../../rollout/stages.ts';
import type { Context, Stage } from '../context.ts';

/**
 * Catches up on a node that joined after this process started: runs `catchUp` of every stage before the one
 * that rolls the node (F26). This happens before the drain, while the node can still be left as it is.
 *
 * @param stages the requested stages, in order.
 * @param known the names of the nodes that these stages have seen.
 */
export function catchUpWith(
  ctx: Context,
  stages: readonly Stage[],
  known: ReadonlySet<string>,
): (node: ClusterNode) => Promise<void> {
  return async (node) => {
    if (known.has(node.name)) return;
    for (const stage of stages) {
      if (stage.name === stageThatRolls(node).name) return;
      await stage.catchUp?.(ctx, node);
    }
  };
}
