import type { ClusterNode } from '../../cluster/nodes.ts';
import { stageThatRolls } from '../../rollout/stages.ts';
import type { Context, Stage } from '../context.ts';

/**
 * Brings a node that joined after this process began to where the stages before its own have brought the others (F26): it gets that
 * now, while it can still be left as it is.
 *
 * @param stages that are asked for, in their order.
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
