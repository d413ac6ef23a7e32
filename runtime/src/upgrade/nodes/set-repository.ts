import type { ClusterNode } from '../../cluster/nodes.ts';
import { minorOf } from '../../release.ts';
import type { Context } from '../context.ts';

/** Points the node's package repository at the target's minor. Idempotent. */
export async function setRepository(ctx: Context, node: ClusterNode): Promise<void> {
  const { settings, request } = ctx;
  const args = ['--minor', minorOf(request.target), '--url', settings.packages.repository];
  await ctx.shell.script(node, 'set_repository', args, settings.timing.script);
}
