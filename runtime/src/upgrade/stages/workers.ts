import type { Stage } from '../context.ts';
import { isPending } from '../nodes/node.ts';
import { rollNodes } from '../nodes/roll.ts';

export const workers: Stage = {
  async idle(ctx) {
    const left = (await ctx.cluster.nodes()).some(
      (node) => !node.controlPlane && (isPending(ctx, node) || node.soakingSince !== undefined),
    );
    return left ? undefined : `every worker is at ${ctx.request.target}`;
  },
  run: (ctx) => rollNodes(ctx, { belongs: (node) => !node.controlPlane, role: () => 'worker', soak: true }),
};
