import type { ClusterNode } from '../../cluster/nodes.ts';
import { UpgradeError } from '../../errors.ts';
import { beforeDrainGates, soakGates, workerGates } from '../../gates/index.ts';
import {
  clearSoak,
  cordon,
  findNode,
  isInProgressOf,
  readmit,
  recordChange,
} from '../../rollout/node-annotations.ts';
import { ScriptError } from '../../ssh/node-shell.ts';
import { logOf } from '../../ssh/scripts.ts';
import { ConnectionError } from '../../ssh/session.ts';
import type { Context } from '../context.ts';
import { soakUntil, waitForGates } from '../wait-for-gates.ts';
import { reportPhase, since } from './phase.ts';
import { prepareNode } from './prepare.ts';
import { becomeReady } from './readiness.ts';
import { type NodeRole, scriptArguments } from './script-arguments.ts';

/**
 * Brings one node to the target, whatever its state: gates, preparation, gates again,
 * drain, script, wait for Ready, uncordon.
 *
 * @param soak whether the node soaks afterwards; `finishSoak` waits for the end.
 * @throws BlockedError before the node's packages change: it is uncordoned if this rollout cordoned it.
 *   UpgradeError after that: it stays cordoned, and the next run resumes there.
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
  await drainOrUndo(ctx, node);
  await update(ctx, node, role);
  await becomeReady(ctx, node).catch(async (error) => {
    if (ctx.signal.aborted || !(error instanceof UpgradeError)) throw error;
    throw await withNodeState(ctx, node, error, `See journalctl -u kubelet on ${node.name}.`);
  });
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
    // Once kubeadm may have started there, the node is safer empty.
    if (!isInProgressOf(node, await ctx.journal.read())) await readmit(ctx, node.name, false);
    throw error;
  }
}

async function update(ctx: Context, node: ClusterNode, role: NodeRole): Promise<void> {
  const started = Date.now();
  reportPhase(ctx, node, 'updating');
  await recordChange(ctx, node.name, () => true);
  try {
    await ctx.shell.script(node, 'update_k8s', scriptArguments(ctx, role), ctx.settings.timing.script);
  } catch (error) {
    if (error instanceof ConnectionError)
      throw await withNodeState(
        ctx,
        node,
        error,
        `update_k8s.sh may still be running there; its log is ${logOf('update_k8s')}.`,
      );
    // Its host key or login has changed since the gates were checked; nothing was sent.
    if (error instanceof UpgradeError && error.code === 'blocked')
      throw await withNodeState(ctx, node, error);
    if (!(error instanceof ScriptError)) throw error;
    await forgiveOrFail(ctx, node, error);
  }
  reportPhase(ctx, node, 'updated', { seconds: since(started) });
}

/** kubeadm sometimes fails although the node was upgraded (F20), so the state of the node decides. */
async function forgiveOrFail(ctx: Context, node: ClusterNode, error: ScriptError): Promise<void> {
  const now = await readAgain(ctx, node.name);
  // If the kubelet was at the target before the script, its release shows nothing about the script.
  if (now.release === ctx.request.target && now.ready && node.release !== now.release) {
    ctx.report.emit({
      type: 'notice',
      text: `${error.message}; but the node is Ready at ${now.release}, continuing`,
    });
    return;
  }
  throw await withNodeState(ctx, node, error);
}

/** Adds the state of the node and a hint to an error that came after its packages may have changed. */
async function withNodeState(
  ctx: Context,
  node: ClusterNode,
  error: UpgradeError,
  more = '',
): Promise<UpgradeError> {
  const { release, unknown } = await readAgain(ctx, node.name);
  const hints = [
    unknown
      ? `The state of ${node.name} is unknown (${unknown}); it was cordoned.`
      : `${node.name} stays cordoned at ${release}.`,
    more,
    error.hint,
    'Fix it and run again (the run resumes there), or roll it back as described in the runbook.',
  ];
  return new UpgradeError('failed', error.message, { cause: error, hint: hints.filter(Boolean).join(' ') });
}

/** Reads the node after an error. A failure to read it does not replace that error. */
async function readAgain(ctx: Context, name: string): Promise<Partial<ClusterNode> & { unknown?: string }> {
  try {
    return await findNode(ctx, name);
  } catch (error) {
    if (ctx.signal.aborted || !(error instanceof UpgradeError)) throw error;
    return { unknown: error.message };
  }
}

/**
 * Waits for the end of a soak that this or an earlier process started. The soak annotation has its start, so
 * that a restart neither skips nor repeats it. Returns at once for a node that has left or does not soak.
 *
 * @throws BlockedError when an alert stops the rollout.
 */
export async function finishSoak(ctx: Context, name: string): Promise<void> {
  const node = (await ctx.cluster.nodes()).find((one) => one.name === name);
  if (node?.soakingSince === undefined) return;
  await soakUntil(ctx, soakGates, name, node.soakingSince + ctx.settings.timing.soak);
  await clearSoak(ctx, node);
  reportPhase(ctx, node, 'done', { seconds: since(node.soakingSince) });
}
