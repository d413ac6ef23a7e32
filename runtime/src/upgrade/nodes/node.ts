import { isConflict, isNotFound } from '../../cluster/api-error.ts';
import type { ClusterNode } from '../../cluster/nodes.ts';
import { UpgradeError } from '../../errors.ts';
import { isBegun, isInterrupted, isTouched } from '../../gates/alerts.ts';
import { drainGates, soakGates } from '../../gates/index.ts';
import { controlPlaneFirst } from '../../gates/versions.ts';
import { annotationKeys } from '../../names.ts';
import type { NodePhase } from '../../report/events.ts';
import { ScriptError } from '../../ssh/node-shell.ts';
import { ConnectionError } from '../../ssh/session.ts';
import { TimeoutError, within } from '../../wait.ts';
import type { Context } from '../context.ts';
import { soakUntil, waitForGates } from '../wait-for-gates.ts';
import { catchUp } from './joined-node.ts';

/** `master` runs `kubeadm upgrade apply`, once in a rollout; `worker` runs `kubeadm upgrade node`, as every other node does. */
export type NodeRole = 'master' | 'worker';

/** A node that this rollout still has something to do on. */
export const isPending = (ctx: Context, node: ClusterNode): boolean =>
  node.release !== ctx.request.target || isInterrupted(node);

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
  const gates = node.controlPlane ? drainGates : [...drainGates, controlPlaneFirst];
  await waitForGates(ctx, gates, `before the drain of ${node.name}`);
  await catchUp(ctx, node);
  // Interrupted after the kubelet was upgraded, the script still has its last steps to take: it is safe to run twice.
  await drainOrUndo(ctx, node);
  await update(ctx, node, role);
  await becomeReady(ctx, node);
  await readmit(ctx, node.name, soak);
  tell(ctx, node, soak ? 'soaking' : 'done');
}

async function drainOrUndo(ctx: Context, node: ClusterNode): Promise<void> {
  const started = Date.now();
  tell(ctx, node, 'draining');
  try {
    const { evicted } = await ctx.drain(
      node,
      () => cordon(ctx, node.name),
      (text) => ctx.report.emit({ type: 'notice', text }),
    );
    tell(ctx, node, 'drained', { seconds: since(started), pods: evicted.length });
  } catch (error) {
    // Once kubeadm may have begun there, the node is safer empty.
    if (!isBegun(node, await ctx.journal.read())) await readmit(ctx, node.name, false);
    throw error;
  }
}

async function cordon(ctx: Context, name: string): Promise<'cordoned' | 'already'> {
  const keys = annotationKeys(ctx.settings.annotationPrefix);
  const run = (await ctx.journal.read())?.started ?? new Date().toISOString();
  let end: 'cordoned' | 'already' = 'already';
  await changeNode(ctx, name, ({ unschedulable }) => {
    end = unschedulable ? 'already' : 'cordoned';
    return unschedulable ? undefined : [{ [keys.cordoned]: run }, true];
  });
  return end;
}

/** Lifts our cordon, never somebody else's (F11), in the same write as the note that the soak is still to be done. */
async function readmit(ctx: Context, name: string, soak: boolean): Promise<void> {
  const keys = annotationKeys(ctx.settings.annotationPrefix);
  const soaking = soak ? new Date().toISOString() : null;
  await changeNode(ctx, name, ({ cordonedByUs, unfinished }) => {
    const annotations = {
      [keys.cordoned]: null,
      [keys.soaking]: soaking,
      ...(unfinished && { [keys.unfinished]: null }),
    };
    return [annotations, cordonedByUs ? false : undefined];
  });
}

type Change = [annotations: Readonly<Record<string, string | null>>, unschedulable: boolean | undefined];

/**
 * Writes what follows from how the node is, and over nothing else: a cordon that a person makes in between is not taken for ours.
 *
 * @param decide undefined when nothing is to be written.
 */
async function changeNode(
  ctx: Context,
  name: string,
  decide: (node: ClusterNode) => Change | undefined,
): Promise<void> {
  for (;;) {
    const node = await findNode(ctx, name);
    const change = decide(node);
    if (change === undefined) return;
    try {
      return await ctx.writer.patchNode(name, ...change, node.version);
    } catch (error) {
      if (!isConflict(error)) throw error;
    }
  }
}

async function update(ctx: Context, node: ClusterNode, role: NodeRole): Promise<void> {
  const { settings, request } = ctx;
  const started = Date.now();
  tell(ctx, node, 'updating');
  await markTouched(ctx, node.name, () => true);
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
        'update_k8s.sh may still run there, and writes its log to /var/log/k8s-upgrade/update_k8s.log.',
      );
    // Its host key or its login has changed since the gates asked; nothing was sent.
    if (error instanceof UpgradeError && error.code === 'blocked') throw await leftOver(ctx, node, error);
    if (!(error instanceof ScriptError)) throw error;
    await forgiveOrFail(ctx, node, error);
  }
  tell(ctx, node, 'updated', { seconds: since(started) });
}

/**
 * Records on the node when this rollout first changed it, and that it is not finished there. May be called twice.
 *
 * @param needsMark where no cordon of ours says that it is not finished.
 */
export async function markTouched(
  ctx: Context,
  name: string,
  needsMark: (node: ClusterNode) => boolean,
): Promise<void> {
  const node = await findNode(ctx, name);
  const touched = isTouched(node, await ctx.journal.read());
  if (touched && isInterrupted(node)) return;
  const keys = annotationKeys(ctx.settings.annotationPrefix);
  const now = new Date().toISOString();
  await ctx.writer.patchNode(name, {
    ...(!touched && { [keys.touched]: now }),
    // Our cordon says it as well.
    ...(!isInterrupted(node) && needsMark(node) && { [keys.unfinished]: now }),
  });
}

/** kubeadm has declared failure over nodes that were fine (F20): what the node is now decides. */
async function forgiveOrFail(ctx: Context, node: ClusterNode, error: ScriptError): Promise<void> {
  const now = await askAgain(ctx, node.name);
  // A kubelet that was there from the start says nothing of what the script was to do.
  if (now.release === ctx.request.target && now.ready && node.release !== now.release) {
    ctx.report.emit({
      type: 'notice',
      text: `${error.message}; but the node is Ready at ${now.release}, going on`,
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
    'Mend it and run again (the run resumes there), or roll it back as the runbook says.',
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
  const keys = annotationKeys(ctx.settings.annotationPrefix);
  await ctx.writer.patchNode(name, { [keys.soaking]: null }).catch((error) => {
    if (!isNotFound(error)) throw error;
  });
  tell(ctx, node, 'done', { seconds: since(node.soakingSince) });
}

async function findNode(ctx: Context, name: string): Promise<ClusterNode> {
  const node = (await ctx.cluster.nodes()).find((one) => one.name === name);
  if (node === undefined)
    throw new UpgradeError('failed', `node ${name} has left the cluster in the middle of its upgrade`);
  return node;
}

const since = (started: number): number => (Date.now() - started) / 1000;

function tell(
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
