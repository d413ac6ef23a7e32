import type { ClusterNode } from '../../cluster/nodes.ts';
import { type Remaining, remaining } from '../../rollout/remaining.ts';
import type { Context, StageEnd } from '../context.ts';
import { finishSoak, upgradeNode } from './node.ts';
import type { NodeRole } from './script-arguments.ts';

/** The nodes that a stage upgrades, and how. */
interface NodeGroup {
  /** Whether the node is one of the stage's. */
  readonly belongs: (node: ClusterNode) => boolean;
  /**
   * Decided before each node.
   *
   * @param left the nodes of the whole cluster on which something is left to do.
   */
  readonly role: (nodes: readonly ClusterNode[], left: readonly ClusterNode[]) => NodeRole;
  /** Whether each node soaks before the next one starts. */
  readonly soak: boolean;
  /** Called before each node. Throws to stop there. */
  readonly before?: (next: ClusterNode, nodes: readonly ClusterNode[]) => Promise<void>;
}

/**
 * Finishes open soaks, then upgrades the group's nodes one by one. Reads the cluster before each, as nodes
 * may join or leave (F26). The node that this process runs on is left to the next Job (F1).
 */
export async function rollNodes(ctx: Context, group: NodeGroup): Promise<StageEnd> {
  const { belongs, role, soak, before } = group;
  const upgraded = new Set<string>();
  for (;;) {
    const nodes = await ctx.cluster.nodes();
    for (const node of nodes.filter((n) => belongs(n) && n.soakingSince !== undefined))
      await finishSoak(ctx, node.name);
    const left = leftOf(await remaining(ctx.cluster, ctx.request.target, nodes), upgraded);
    const pending = left.filter(belongs);
    const next = pending.find((node) => node.name !== ctx.ownNode);
    if (next === undefined) return pending[0] === undefined ? 'done' : handOff(ctx, pending[0]);
    await before?.(next, nodes);
    await upgradeNode(ctx, next, role(nodes, left), soak);
    upgraded.add(next.name);
  }
}

/**
 * Leaves out a node that this stage upgraded and of which only the API server is still behind: another
 * attempt would not change that, and the stage would never end.
 */
function leftOf(
  { nodes, kubelets, inProgress }: Remaining,
  upgraded: ReadonlySet<string>,
): readonly ClusterNode[] {
  return nodes.filter(
    (node) => !upgraded.has(node.name) || kubelets.includes(node) || inProgress.includes(node),
  );
}

/** Submits the Job that upgrades the node that this process runs on. */
async function handOff(ctx: Context, node: ClusterNode): Promise<StageEnd> {
  const job = await ctx.startNextJob(node.name);
  ctx.report.emit({ type: 'handed-off', job, why: `this process runs on ${node.name}` });
  return 'handed-off';
}
