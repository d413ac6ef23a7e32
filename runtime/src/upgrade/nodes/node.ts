import type { ClusterNode } from '../../cluster/nodes.ts';
import { beforeDrainGates, workerGates } from '../../gates/index.ts';
import { clearSoak, cordon, isInProgressOf, readmit, serveOn } from '../../rollout/node-annotations.ts';
import { soakOf } from '../../rollout/soak.ts';
import type { Context } from '../context.ts';
import { soakUntil } from '../soak.ts';
import { waitForGates } from '../wait-for-gates.ts';
import { drainsFirst } from './order.ts';
import { reportPhase, since } from './phase.ts';
import { prepareNode } from './prepare.ts';
import type { NodeRole } from './script-arguments.ts';
import { upgradeComponents, upgradeDrained } from './update.ts';

/**
 * Brings one node to the target, whatever its state: gates, preparation, gates again, kubeadm and the drain
 * in the order of `drain.before`, the kubelet, wait for Ready, uncordon. Between kubeadm and a later drain
 * the gates are checked once more.
 *
 * @param soak whether the node soaks afterwards; `finishSoak` waits for the end.
 * @throws BlockedError before the node's kubelet may have changed: it is uncordoned if this rollout cordoned
 *   it. UpgradeError: a node whose kubelet may have changed stays cordoned, and the next run resumes there.
 */
export async function upgradeNode(
  ctx: Context,
  node: ClusterNode,
  role: NodeRole,
  soak: boolean,
): Promise<void> {
  const gates = node.controlPlane ? beforeDrainGates : workerGates;
  const checkGates = () => waitForGates(ctx, gates, `before the drain of ${node.name}`);
  await checkGates();
  await ctx.catchUp?.(node);
  await prepareNode(ctx, node);
  // Pulling images takes minutes, after which the first answer is old.
  await checkGates();
  // Even if the kubelet is at the target, an interrupted script may have steps left. It is safe to run twice.
  if (drainsFirst(ctx, node)) {
    await drainOrUndo(ctx, node);
    await upgradeDrained(ctx, node, role);
  } else {
    await upgradeComponents(ctx, node, role);
    await checkGates();
    await drainOrUndo(ctx, node);
    await upgradeDrained(ctx, node, role, 'kubelet');
  }
  await readmit(ctx, node.name, soak);
  reportPhase(ctx, node, soak ? 'soaking' : 'done');
}

async function drainOrUndo(ctx: Context, node: ClusterNode): Promise<void> {
  const started = Date.now();
  reportPhase(ctx, node, 'draining');
  try {
    const { evicted } = await ctx.drain(
      node,
      () => cordon(ctx, node.name),
      (text) => ctx.report.emit({ type: 'notice', text }),
    );
    reportPhase(ctx, node, 'drained', { seconds: since(started), pods: evicted.length });
  } catch (error) {
    // With the old kubelet and new components the node serves as well as before.
    if (node.kubeadmOnly || !drainsFirst(ctx, node)) await serveOn(ctx, node.name);
    // Once its kubelet may have changed, the node is safer empty.
    else if (!isInProgressOf(node, await ctx.journal.read())) await readmit(ctx, node.name, false);
    throw error;
  }
}

/**
 * Waits for the end of a soak that this or an earlier process started. The soak annotation has its start, so
 * that a restart neither skips nor repeats it. Returns at once for a node that has left or does not soak.
 *
 * @throws BlockedError when an alert stops the rollout, or is still pending after the longest wait.
 */
export async function finishSoak(ctx: Context, name: string): Promise<void> {
  const node = (await ctx.cluster.nodes()).find((one) => one.name === name);
  const soak = node && soakOf(node, ctx.settings);
  if (node?.soakingSince === undefined || soak === undefined) return;
  await soakUntil(ctx, name, soak.end);
  await clearSoak(ctx, node);
  reportPhase(ctx, node, 'done', { seconds: since(node.soakingSince) });
}
