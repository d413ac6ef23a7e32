import type { ClusterNode } from '../../cluster/nodes.ts';
import { UpgradeError } from '../../errors.ts';
import { within } from '../../wait.ts';
import type { Context } from '../context.ts';

/**
 * Waits until a node is up after its script, which has restarted the kubelet: Ready at the target by a report
 * of that kubelet and, on a control-plane node, with static pods that have survived the restart (F69). What
 * the kubelet before it reported does not count. In a dry-run nothing was restarted.
 *
 * @throws TimeoutError when it takes longer than `timing.nodeReady`, plus `timing.staticPods` for static
 *   pods; ConnectionError or UpgradeError when the node does not tell when its kubelet started.
 */
export async function becomeReady(ctx: Context, { name, controlPlane, address }: ClusterNode): Promise<void> {
  if (ctx.request.dryRun) return;
  const { target } = ctx.request;
  const { nodeReady, staticPods } = ctx.settings.timing;
  const waitForNode = within(nodeReady, ctx.signal);
  const untilUp = within(nodeReady + staticPods, ctx.signal);
  const kubeletStart = await startOfKubelet(ctx, { name, address });
  const isUp = (now: ClusterNode) => now.ready && now.release === target && now.reportedAt >= kubeletStart;
  await ctx.cluster.waitForNode(name, `waiting for ${name} to be Ready at ${target}`, isUp, waitForNode);
  if (controlPlane)
    await ctx.cluster.waitForStaticPods({ node: name, kubeletStart, settle: staticPods }, untilUp);
}

/**
 * Waits until the static pods of a control-plane node are Ready after kubeadm has replaced them. Returns at
 * once for a worker, and in a dry-run.
 *
 * @throws TimeoutError after `timing.nodeReady` plus `timing.staticPods`; otherwise as `becomeReady`.
 */
export async function awaitStaticPods(
  ctx: Context,
  { name, controlPlane, address }: ClusterNode,
): Promise<void> {
  if (!controlPlane || ctx.request.dryRun) return;
  const { nodeReady, staticPods } = ctx.settings.timing;
  const wait = within(nodeReady + staticPods, ctx.signal);
  const kubeletStart = await startOfKubelet(ctx, { name, address });
  await ctx.cluster.waitForStaticPods({ node: name, kubeletStart, settle: staticPods }, wait);
}

/**
 * The second in which the node's kubelet started, epoch milliseconds. By the node's clock, as are the times
 * in what that kubelet reports, so that this machine's clock does not matter.
 */
async function startOfKubelet(
  { shell }: Context,
  node: Pick<ClusterNode, 'name' | 'address'>,
): Promise<number> {
  const { code, output } = await shell.read(node, [
    ...['env', 'TZ=UTC', 'systemctl', 'show', 'kubelet'],
    '--property=ExecMainStartTimestamp',
  ]);
  const [, day, time] = /^ExecMainStartTimestamp=\w+ ([\d-]+) ([\d:]+) UTC$/m.exec(output) ?? [];
  const start = code === 0 ? Date.parse(`${day}T${time}Z`) : Number.NaN;
  if (!Number.isNaN(start)) return start;
  throw new UpgradeError(
    'failed',
    `systemctl show kubelet on ${node.name} does not tell when the kubelet started: ${output.trim() || 'no output'}`,
  );
}
