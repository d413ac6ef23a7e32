import { UpgradeError } from '../../errors.ts';
import { postflightGates } from '../../gates/gates.ts';
import { annotationKeys } from '../../names.ts';
import type { Context, Stage } from '../context.ts';
import { isPending } from '../node.ts';
import { waitForGates } from '../wait-for-gates.ts';

export const postflight: Stage = {
  name: 'postflight',
  summary: 'verify the cluster as a whole and clear the marks of the rollout',
  idle: async () => undefined,
  async run(ctx) {
    await assertAllUpgraded(ctx);
    await waitForGates(ctx, postflightGates, 'at post-flight');
    await clearMarks(ctx);
    return 'done';
  },
};

async function assertAllUpgraded(ctx: Context): Promise<void> {
  const { target } = ctx.request;
  const [nodes, server] = await Promise.all([ctx.cluster.nodes(), ctx.cluster.serverRelease()]);
  const behind = nodes.filter((node) => isPending(ctx, node)).map((node) => `${node.name} (${node.release})`);
  if (server !== target) behind.unshift(`API server (${server})`);
  if (behind.length === 0) return;
  throw new UpgradeError('failed', `not everything is at ${target}: ${behind.join(', ')}`, {
    hint: 'Run again with all stages.',
  });
}

/** Those of the nodes. While the namespace says in flight, a crash here is resumed here; its marks go when the end was told. */
async function clearMarks(ctx: Context): Promise<void> {
  const keys = annotationKeys(ctx.settings.annotationPrefix);
  for (const node of await ctx.cluster.nodes()) {
    if (node.touchedAt === undefined && node.soakingSince === undefined) continue;
    await ctx.writer.patchNode(node.name, { [keys.touched]: null, [keys.soaking]: null });
  }
}
