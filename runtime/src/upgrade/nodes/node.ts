import type { ClusterNode } from '../../cluster/nodes.ts';
import { UpgradeError } from '../../errors.ts';
import { beforeDrainGates, soakGates, workerGates } from '../../gates/index.ts';
import type { NodePhase } from '../../report/events.ts';
import {
  clearSoak,
  cordon,
  findNode,
  isInProgressOf,
  markChanged,
  readmit,
} from '../../rollout/node-marks.ts';
import { ScriptError } from '../../ssh/node-shell.ts';
import { logOf } from '../../ssh/scripts.ts';
import { ConnectionError } from '../../ssh/session.ts';
import { TimeoutError, within } from '../../wait.ts';
import type { Context } from '../context.ts';
import { soakUntil, waitForGates } from '../wait-for-gates.ts';

/** `master` runs `kubeadm upgrade apply`, once in a rollout; `worker` runs `kubeadm upgrade node`, as every other node does. */
export type NodeRole = 'master' | 'worker';

/**
 * Takes one node from wherever it is to the target: gates, drain, script, Ready, uncordon.
 *
 * @throws BlockedError before anything changed on the node: our cordon is lifted;
 *   UpgradeError after: the node stays cordoned, and the next run goes on there.
 */
export async function upgradeNode(
  ctx: Context,
  node: ClusterNode,
  role: NodeRole,
  soak: boolean,
): Promise<void> {
  const gates = node.controlPlane ? beforeDrainGates : workerGates;
  await waitForGates(ctx, gates, `before the drain of ${node.name}`);
  await ctx.catchUp?.(node);
  // Interrupted after the kubelet was upgraded, the script still has its last steps to take: it is safe to run twice.
  await drainOrUndo(ctx, node);
  await update(ctx, node, role);
  await becomeReady(ctx, node);
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
    // Once kubeadm may have begun there, the node is safer empty.
    if (!isInProgressOf(node, await ctx.journal.read())) await readmit(ctx, node.name, false);
    throw error;
  }
}

async function update(ctx: Context, node: ClusterNode, role: NodeRole): Promise<void> {
  const { settings, request } = ctx;
  const started = Date.now();
  reportPhase(ctx, node, 'updating');
  await markChanged(ctx, node.name, () => true);
  const options = (flag: string, values: readonly string[]) =>
    values.length > 0 ? [flag, values.join(',')] : [];
  const args = [
    '--role',
    role,
    '--release',
    request.target,
    ...options('--skip-phases', settings.kubeadm.skipPhases),
    ...options('--ignore-preflight-errors', settings.kubeadm.ignorePreflightErrors),
  ];
  try {
    await ctx.shell.script(node, 'update_k8s', args, settings.timing.script);
  } catch (error) {
    if (error instanceof ConnectionError)
      throw await leftOver(
        ctx,
        node,
        error,
        `update_k8s.sh may still run there, and writes its log to ${logOf('update_k8s')}.`,
      );
    // Its host key or its login has changed since the gates asked; nothing was sent.
    if (error instanceof UpgradeError && error.code === 'blocked') throw await leftOver(ctx, node, error);
    if (!(error instanceof ScriptError)) throw error;
    await forgiveOrFail(ctx, node, error);
  }
  reportPhase(ctx, node, 'updated', { seconds: since(started) });
}

/** kubeadm has declared failure over nodes that were fine (F20): what the node is now decides. */
async function forgiveOrFail(ctx: Context, node: ClusterNode, error: ScriptError): Promise<void> {
  const now = await askAgain(ctx, node.name);
  // A kubelet that was there from the start says nothing of what the script was to do.
  if (now.release === ctx.request.target && now.ready && node.release !== now.release) {
    ctx.report.emit({
      type: 'notice',
      text: `${error.message}; but the node is Ready at ${now.release}, continuing`,
    });
    return;
  }
  throw await leftOver(ctx, node, error);
}

/** What has become of the node, and what to do, behind an error that came once its packages may have changed. */
async function leftOver(
  ctx: Context,
  node: ClusterNode,
  error: UpgradeError,
  more = '',
): Promise<UpgradeError> {
  const { release, unknown } = await askAgain(ctx, node.name);
  const hints = [
    unknown
      ? `What has become of ${node.name} is not known (${unknown}); it was cordoned.`
      : `${node.name} stays cordoned at ${release}.`,
    more,
    error.hint,
    'Fix it and run again (the run resumes there), or roll it back as the runbook says.',
  ];
  return new UpgradeError('failed', error.message, { cause: error, hint: hints.filter(Boolean).join(' ') });
}

/** The node after an error, which is worth more than that the API server cannot be asked right then. */
async function askAgain(ctx: Context, name: string): Promise<Partial<ClusterNode> & { unknown?: string }> {
  try {
    return await findNode(ctx, name);
  } catch (error) {
    if (ctx.signal.aborted || !(error instanceof UpgradeError)) throw error;
    return { unknown: error.message };
  }
}

async function becomeReady(ctx: Context, node: ClusterNode): Promise<void> {
  const { target } = ctx.request;
  const wait = within(ctx.settings.timing.nodeReady, ctx.signal);
  const isUp = (now: ClusterNode) => now.ready && now.release === target;
  const what = `waiting for ${node.name} to be Ready at ${target}`;
  await ctx.cluster.waitForNode(node.name, what, isUp, wait).catch(async (error) => {
    if (!(error instanceof TimeoutError)) throw error;
    throw await leftOver(ctx, node, error, `journalctl -u kubelet on ${node.name} says why.`);
  });
}

/**
 * Sees a soak through that this or an earlier process began. Its start is on the node, so that a restart neither
 * skips nor repeats it. A node that leaves meanwhile has nothing left to see.
 */
export async function finishSoak(ctx: Context, name: string): Promise<void> {
  const node = (await ctx.cluster.nodes()).find((one) => one.name === name);
  if (node?.soakingSince === undefined) return;
  await soakUntil(ctx, soakGates, name, node.soakingSince + ctx.settings.timing.soak);
  await clearSoak(ctx, node);
  reportPhase(ctx, node, 'done', { seconds: since(node.soakingSince) });
}

const since = (started: number): number => (Date.now() - started) / 1000;

function reportPhase(
  ctx: Context,
  node: ClusterNode,
  phase: NodePhase,
  more: { seconds?: number; pods?: number } = {},
): void {
  ctx.report.emit({
    type: 'node',
    node: node.name,
    phase,
    from: node.release,
    to: ctx.request.target,
    ...more,
  });
}
