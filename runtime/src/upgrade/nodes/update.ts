import type { ClusterNode } from '../../cluster/nodes.ts';
import { UpgradeError } from '../../errors.ts';
import { findNode, recordKubeadm, recordKubelet } from '../../rollout/node-annotations.ts';
import { ScriptError } from '../../ssh/node-shell.ts';
import { logOf } from '../../ssh/scripts.ts';
import { ConnectionError } from '../../ssh/session.ts';
import type { Context } from '../context.ts';
import { becomeUsable } from './node-works.ts';
import { reportPhase, since } from './phase.ts';
import { awaitStaticPods, becomeReady } from './readiness.ts';
import { type NodeRole, type Step, upgradeArguments } from './script-arguments.ts';

/**
 * Lets kubeadm upgrade itself and the node's components while the node serves, and waits until its static
 * pods are Ready. Its kubelet stays as it is. May be repeated: kubeadm leaves components at the target alone.
 *
 * @throws UpgradeError (failed): the node serves on.
 */
export async function upgradeComponents(ctx: Context, node: ClusterNode, role: NodeRole): Promise<void> {
  const started = Date.now();
  reportPhase(ctx, node, 'running-kubeadm');
  await recordKubeadm(ctx, node.name);
  await runScript(ctx, node, role, 'kubeadm');
  reportPhase(ctx, node, 'ran-kubeadm', { seconds: since(started) });
  // A drain needs an API server that answers.
  await withStateOnError(ctx, node, () => awaitStaticPods(ctx, node));
}

/**
 * Upgrades the drained node and waits until it is up and pods work there.
 *
 * @param step `kubelet` when kubeadm's step is done. @default both
 * @throws UpgradeError (failed): the node stays cordoned.
 */
export async function upgradeDrained(
  ctx: Context,
  node: ClusterNode,
  role: NodeRole,
  step?: 'kubelet',
): Promise<void> {
  const started = Date.now();
  reportPhase(ctx, node, 'updating');
  await recordKubelet(ctx, node.name);
  await runScript(ctx, node, role, step);
  reportPhase(ctx, node, 'updated', { seconds: since(started) });
  await withStateOnError(ctx, node, () => becomeReady(ctx, node));
  const see = `See its pods of the network, storage and DNS (kubectl get pods -A -o wide --field-selector spec.nodeName=${node.name}).`;
  await withStateOnError(ctx, node, () => becomeUsable(ctx, node.name), see);
}

async function withStateOnError(
  ctx: Context,
  node: ClusterNode,
  wait: () => Promise<void>,
  see = `See journalctl -u kubelet on ${node.name}.`,
): Promise<void> {
  await wait().catch(async (error) => {
    if (ctx.signal.aborted || !(error instanceof UpgradeError)) throw error;
    throw await withNodeState(ctx, node, error, see);
  });
}

async function runScript(ctx: Context, node: ClusterNode, role: NodeRole, step?: Step): Promise<void> {
  const args = upgradeArguments(ctx, role, step);
  try {
    await ctx.shell.script(node, 'update_k8s', args, ctx.settings.timing.script);
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
    // That step does not change the kubelet, whose release is what shows that a node was upgraded.
    if (step === 'kubeadm') throw await withNodeState(ctx, node, error);
    await forgiveOrFail(ctx, node, error);
  }
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

/** Adds the state of the node and a hint to an error that came after something may have changed there. */
async function withNodeState(
  ctx: Context,
  node: ClusterNode,
  error: UpgradeError,
  more = '',
): Promise<UpgradeError> {
  const { release, unknown, unschedulable } = await readAgain(ctx, node.name);
  const state = unschedulable ? `stays cordoned at ${release}` : `serves on, its kubelet at ${release}`;
  const hints = [
    unknown ? `The state of ${node.name} is unknown (${unknown}).` : `${node.name} ${state}.`,
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
