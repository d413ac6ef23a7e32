import type { ClusterNode } from '../../cluster/nodes.ts';
import { joinGates } from '../../gates/index.ts';
import { minorOf } from '../../release.ts';
import type { Context } from '../context.ts';
import { waitForGates } from '../wait-for-gates.ts';

/** Points the node's package repository at the target's minor. May be called twice. */
export async function setRepository(ctx: Context, node: ClusterNode): Promise<void> {
  const { settings, request } = ctx;
  const args = ['--minor', minorOf(request.target), '--url', settings.packages.repository];
  await ctx.shell.script(node, 'set_repository', args, settings.timing.script);
}

/**
 * A node that joined after this process began has missed what comes before the drains (F26): it gets that now, while it can still be
 * left as it is.
 *
 * @throws BlockedError when it cannot be drained, or the minor does not fit it.
 */
export async function catchUp(ctx: Context, node: ClusterNode): Promise<void> {
  const { kind, stages } = ctx.request;
  if (ctx.known === undefined || ctx.known.has(node.name)) return;
  if (stages.includes('preflight'))
    await waitForGates(ctx, joinGates, `before ${node.name}, which has joined`);
  if (kind === 'minor' && stages.includes('repo')) await setRepository(ctx, node);
}
