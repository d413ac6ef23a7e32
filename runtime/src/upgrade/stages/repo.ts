import type { Stage } from '../context.ts';
import { setRepository } from '../nodes/joined-node.ts';
import { isPending } from '../nodes/node.ts';

export const repo: Stage = {
  async idle(ctx) {
    if (ctx.request.kind !== 'minor') return 'a patch comes from the repository that is configured';
    const pending = (await ctx.cluster.nodes()).some((node) => isPending(ctx, node));
    return pending ? undefined : 'every node is at the target';
  },
  async run(ctx) {
    for (const node of (await ctx.cluster.nodes()).filter((one) => isPending(ctx, one)))
      await setRepository(ctx, node);
    return 'done';
  },
};
