import type { V1Pod } from '@kubernetes/client-node';
import type { ClusterNode } from '../../cluster/nodes.ts';
import { readyDaemonSets } from '../../cluster/pods-on-node.ts';
import { BlockedError, UpgradeError } from '../../errors.ts';
import { missingOfCheck } from '../../jobs/node-check.ts';
import { findNode } from '../../rollout/node-annotations.ts';
import { TimeoutError, within } from '../../wait.ts';
import type { Context } from '../context.ts';

/**
 * Runs the pod of the node check on a node that serves, so that a cluster in which it cannot work is found
 * out before anything is changed there. A pod for which the node has no room says nothing, and is left out
 * with a notice.
 *
 * @throws BlockedError when the pod does not succeed within `timing.nodeReady`; nothing was changed.
 */
export async function tryBefore(ctx: Context, node: ClusterNode): Promise<void> {
  const job = await ctx.nodeCheck.start(node.name);
  if (job === undefined) return;
  const unscheduled = await ctx.nodeCheck.untilScheduled(job);
  if (unscheduled !== undefined) {
    const text = `no pod was tried on ${node.name} before its upgrade: ${unscheduled}`;
    ctx.report.emit({ type: 'notice', text });
    return;
  }
  await untilNothingIsMissing(ctx, node.name, (pods) => missingOf(pods, job)).catch((error) => {
    if (!(error instanceof TimeoutError)) throw error;
    const { namespace } = ctx.settings;
    throw new BlockedError(
      `stopped before the drain of ${node.name}; nothing was changed there`,
      error.pending.map((text) => `no pod works there: ${text}`),
      {
        hint: `See kubectl -n ${namespace} describe job ${job}, and its log. Fix this; the next run continues from here. Where this pod cannot work at all, deploy without it (nodeCheck: false).`,
      },
    );
  });
}

/**
 * Waits until an upgraded node works and is not only Ready: the DaemonSets that had a Ready pod there before
 * the rollout changed it have one again, and a pod of the pipeline's own has an address, resolves a name,
 * reaches the API server through its Service and writes to a volume (F34). Returns at once in a dry-run.
 *
 * @throws UpgradeError when that takes longer than `timing.nodeReady`, naming what is missing.
 */
export async function becomeUsable(ctx: Context, name: string): Promise<void> {
  if (ctx.request.dryRun) return;
  const { daemonSets } = await findNode(ctx, name);
  const job = await ctx.nodeCheck.start(name);
  const unscheduled = job && (await ctx.nodeCheck.untilScheduled(job));
  if (unscheduled) throw new UpgradeError('failed', `no pod can be tried on ${name}: ${unscheduled}`);
  await untilNothingIsMissing(ctx, name, async (pods) => [
    ...(await missingDaemonSets(ctx, daemonSets, pods)),
    ...missingOf(pods, job),
  ]);
}

const missingOf = (pods: readonly V1Pod[], job: string | undefined): string[] => {
  const missing = job && missingOfCheck(pods, job);
  return missing ? [missing] : [];
};

/** A DaemonSet that has been deleted since is not missing. */
async function missingDaemonSets(
  { cluster }: Context,
  before: readonly string[],
  pods: readonly V1Pod[],
): Promise<string[]> {
  const ready = new Set(readyDaemonSets(pods));
  const missing: string[] = [];
  for (const one of before.filter((each) => !ready.has(each))) {
    const [namespace = '', name = ''] = one.split('/');
    if (await cluster.daemonSetExists(namespace, name))
      missing.push(`DaemonSet ${one} has no Ready pod there`);
  }
  return missing;
}

async function untilNothingIsMissing(
  { cluster, settings, signal }: Context,
  node: string,
  look: (pods: readonly V1Pod[]) => string[] | Promise<string[]>,
): Promise<void> {
  let missing: string[] = [];
  await cluster.waitForPodsOn(
    node,
    `waiting for pods to work on ${node}`,
    async (pods) => {
      missing = await look(pods);
      return missing.length === 0;
    },
    within(settings.timing.nodeReady, signal),
    () => missing,
  );
}
