import { remaining } from '../../rollout/remaining.ts';
import type { StageWork } from '../context.ts';
import { rollNodes } from '../nodes/roll.ts';

/** Upgrades the workers, one at a time, each with a soak. */
export const workers: StageWork = {
  async skipReason(ctx) {
    const nodes = await ctx.cluster.nodes();
    const left = await remaining(ctx.cluster, ctx.request.target, nodes);
    const isLeft = nodes.some(
      (node) => !node.controlPlane && (left.nodes.includes(node) || node.soakingSince !== undefined),
    );
    return isLeft ? undefined : `every worker is at ${ctx.request.target}`;
  },
  run: (ctx) => rollNodes(ctx, { belongs: (node) => !node.controlPlane, role: () => 'worker', soak: true }),
};
