import { addOnsIn, readKubeadmAddOns } from '../cluster/kubeadm-add-ons.ts';
import { isUnready, workloadOf } from '../cluster/unready-pods.ts';
import { UpgradeError } from '../errors.ts';
import type { InFlight } from '../rollout/journal.ts';
import { clearChanged, isChanged, isInProgress } from '../rollout/node-annotations.ts';
import { remaining } from '../rollout/remaining.ts';
import type { Context } from './context.ts';

/** Sets the in-flight annotations: from here on an interruption is noticed. Idempotent. */
export async function noteInFlight(ctx: Context): Promise<void> {
  const { target, kind } = ctx.request;
  const before = await ctx.journal.read();
  if (before?.target === target && before.kind === kind) return;
  const unready = (await ctx.cluster.pods()).filter(isUnready).map(workloadOf);
  const atStart = { unready, addOns: await addOnsOf(ctx) };
  const inFlight = await ctx.journal.begin(target, kind, await isUnfinished(ctx, before), atStart);
  if (before?.startedAt !== inFlight.startedAt) reportInFlight(ctx, inFlight);
}

/** Undefined when they cannot be read: a run without preflight need not be able to. */
async function addOnsOf({ client, signal }: Context): Promise<string | undefined> {
  try {
    return addOnsIn(await readKubeadmAddOns(client));
  } catch (error) {
    if (signal.aborted || !(error instanceof UpgradeError)) throw error;
    return undefined;
  }
}

/**
 * Whether the rollout in flight has cordoned or changed nodes but not brought all of them to its target. A
 * new one in its place would not know its cordons (F47).
 */
async function isUnfinished({ cluster }: Context, inFlight: InFlight | undefined): Promise<boolean> {
  const nodes = await cluster.nodes();
  if (!nodes.some((node) => isChanged(node, inFlight) || isInProgress(node))) return false;
  const target = inFlight?.target;
  return target === undefined || (await remaining(cluster, target, nodes)).nodes.length > 0;
}

/**
 * Clears the annotations of the rollout, on the namespace first. As long as it is in flight, the nodes show
 * what was changed, so that a process that resumes it recognises the alerts that it causes (F8). If this
 * process is killed in between, the next one finds nothing to do and clears the rest.
 */
export async function forgetRollout(ctx: Context): Promise<void> {
  if ((await ctx.journal.read()) !== undefined) await ctx.journal.clear();
  reportInFlight(ctx, undefined);
  await clearChanged(ctx);
}

/** Reports what the in-flight annotations show. A dry-run sets none, so it reports nothing. */
export function reportInFlight({ request, report }: Context, inFlight: InFlight | undefined): void {
  if (request.dryRun) return;
  const snapshotTaken = inFlight?.snapshotPath !== undefined;
  report.emit({ type: 'in-flight', startedAt: inFlight?.startedAt, snapshotTaken });
}
