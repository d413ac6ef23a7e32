import { isNotFound } from '../../cluster/api-error.ts';
import type { ClusterNode } from '../../cluster/nodes.ts';
import { UpgradeError } from '../../errors.ts';
import { postflightGates } from '../../gates/index.ts';
import { serversBehind } from '../../gates/versions.ts';
import { annotationKeys } from '../../names.ts';
import type { Context, Stage } from '../context.ts';
import { isPending } from '../nodes/node.ts';
import { waitForGates } from '../wait-for-gates.ts';

export const postflight: Stage = {
  idle: async () => undefined,
  async run(ctx) {
    await assertAllUpgraded(ctx);
    await waitForGates(ctx, postflightGates, 'at post-flight');
    await clearSoaks(ctx);
    return 'done';
  },
};

async function assertAllUpgraded(ctx: Context): Promise<void> {
  const { target } = ctx.request;
  const nodes = await ctx.cluster.nodes();
  const old = await serversBehind(ctx.cluster, nodes, target);
  const behind = [
    ...old.map((node) => `the API server of ${node.name}`),
    ...nodes.filter((node) => isPending(ctx, node)).map((node) => `${node.name} (${node.release})`),
  ];
  if (behind.length === 0) return;
  throw new UpgradeError('failed', `not everything is at ${target}: ${behind.join(', ')}`, {
    hint: 'Run again with all stages.',
  });
}

/** The other marks go when the end was told: a process that has to go on from a crash here needs them. */
async function clearSoaks(ctx: Context): Promise<void> {
  const soaking = (await ctx.cluster.nodes()).filter((node) => node.soakingSince !== undefined);
  await clearMark(ctx, soaking, 'soaking');
}

/** Once no rollout is in flight. One that is left says nothing: it is older than the next rollout. */
export async function clearTouched(ctx: Context): Promise<void> {
  const touched = (await ctx.cluster.nodes()).filter((node) => node.touchedAt !== undefined);
  await clearMark(ctx, touched, 'touched');
}

/** A node that leaves meanwhile takes its marks along. */
async function clearMark(
  ctx: Context,
  nodes: readonly ClusterNode[],
  mark: 'touched' | 'soaking',
): Promise<void> {
  const key = annotationKeys(ctx.settings.annotationPrefix)[mark];
  for (const { name } of nodes) {
    await ctx.writer.patchNode(name, { [key]: null }).catch((error) => {
      if (!isNotFound(error)) throw error;
    });
  }
}
