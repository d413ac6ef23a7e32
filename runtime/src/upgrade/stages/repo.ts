import { remaining } from '../../rollout/remaining.ts';
import type { StageWork } from '../context.ts';
import { setRepository } from '../nodes/set-repository.ts';

/** For a minor, points the package repository of every node that is left at it. */
export const repo: StageWork = {
  async skipReason(ctx) {
    const { kind, target } = ctx.request;
    if (kind !== 'minor') return 'a patch comes from the repository that the nodes have';
    const left = await remaining(ctx.cluster, target);
    return left.nodes.length > 0 ? undefined : 'every node is at the target';
  },
  async run(ctx) {
    const left = await remaining(ctx.cluster, ctx.request.target);
    for (const node of left.nodes) await setRepository(ctx, node);
    return 'done';
  },
  async catchUp(ctx, node) {
    if (ctx.request.kind === 'minor') await setRepository(ctx, node);
  },
};
