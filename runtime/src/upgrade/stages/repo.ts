import { minorOf } from '../../release.ts';
import type { Stage } from '../context.ts';
import { isPending } from '../node.ts';

export const repo: Stage = {
  name: 'repo',
  summary: 'point the package repository of every node at the new minor',
  async idle(ctx) {
    if (ctx.request.kind !== 'minor') return 'a patch comes from the repository that is configured';
    const pending = (await ctx.cluster.nodes()).some((node) => isPending(ctx, node));
    return pending ? undefined : 'every node is at the target';
  },
  async run(ctx) {
    const { settings, request } = ctx;
    const args = ['--minor', minorOf(request.target), '--url', settings.packages.repository];
    for (const node of (await ctx.cluster.nodes()).filter((one) => isPending(ctx, one))) {
      const target = { node: node.name, address: node.address };
      await ctx.shell.script(target, 'set_repository', args, settings.timing.script);
    }
    return 'done';
  },
};
