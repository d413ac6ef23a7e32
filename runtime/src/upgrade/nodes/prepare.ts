import type { ClusterNode } from '../../cluster/nodes.ts';
import { BlockedError } from '../../errors.ts';
import { isInProgressOf } from '../../rollout/node-annotations.ts';
import { remaining } from '../../rollout/remaining.ts';
import { ScriptError } from '../../ssh/node-shell.ts';
import { logOf } from '../../ssh/scripts.ts';
import type { Context } from '../context.ts';
import { tryBefore } from './node-works.ts';
import { reportPhase, since } from './phase.ts';
import { prepareArguments } from './script-arguments.ts';

/**
 * Tries a pod on the node, downloads the target's packages and pulls its images, while the node still serves:
 * what cannot be had is found before anything is changed there (F34, F54, F70). Idempotent. Returns at once
 * for a node that is in progress, because its script fetches what is missing.
 *
 * @throws BlockedError when something cannot be had; the node is neither cordoned nor changed.
 */
export async function prepareNode(ctx: Context, node: ClusterNode): Promise<void> {
  if (isInProgressOf(node, await ctx.journal.read())) return;
  const started = Date.now();
  reportPhase(ctx, node, 'preparing');
  await tryBefore(ctx, node);
  const args = prepareArguments(ctx, node.controlPlane ? 'master' : 'worker');
  await ctx.shell.script(node, 'update_k8s', args, ctx.settings.timing.script).catch((error) => {
    if (!(error instanceof ScriptError)) throw error;
    throw new BlockedError(
      `stopped before the drain of ${node.name}; nothing was changed there`,
      [error.reason],
      {
        hint: `Its log is on ${node.name} in ${logOf('update_k8s')}. Fix this; the next run continues from here.`,
      },
    );
  });
  reportPhase(ctx, node, 'prepared', { seconds: since(started) });
}

/**
 * Prepares every control-plane node on which something is left to do, so that a registry without the
 * target's images is noticed before the first of them changes. Leaves out the one that is upgraded next, as
 * that one is prepared right before its drain.
 *
 * @throws BlockedError at the first node that cannot be prepared.
 */
export async function prepareControlPlane(ctx: Context): Promise<void> {
  const { nodes } = await remaining(ctx.cluster, ctx.request.target);
  const controlPlane = nodes.filter((node) => node.controlPlane);
  const next = controlPlane.find((node) => node.name !== ctx.ownNode);
  for (const node of controlPlane) if (node !== next) await prepareNode(ctx, node);
}
