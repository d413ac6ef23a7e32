import type { InFlight } from '../rollout/journal.ts';
import { clearChanged, isChanged } from '../rollout/node-marks.ts';
import { remaining } from '../rollout/remaining.ts';
import type { Context } from './context.ts';

/** Marks the rollout as in flight, once preflight is through: from here on an interruption is noticed. May be called again. */
export async function noteInFlight(ctx: Context): Promise<void> {
  const { target, kind } = ctx.request;
  const before = await ctx.journal.read();
  if (before?.target === target && before.kind === kind) return;
  const inFlight = await ctx.journal.begin(target, kind, await isHalfWay(ctx, before));
  if (before?.startedAt !== inFlight.startedAt) reportInFlight(ctx, inFlight);
}

/** The rollout in flight has changed nodes, and has not brought all of them to where it was to go. */
async function isHalfWay({ cluster }: Context, inFlight: InFlight | undefined): Promise<boolean> {
  const nodes = await cluster.nodes();
  if (!nodes.some((node) => isChanged(node, inFlight))) return false;
  const target = inFlight?.target;
  return target === undefined || (await remaining(cluster, target, nodes)).nodes.length > 0;
}

/**
 * As long as the namespace says in flight, the nodes say what was changed: a process that has to go on knows its own alerts (F8).
 * Killed before the last of them, the next process finds nothing to do and forgets the rest.
 */
export async function forgetRollout(ctx: Context): Promise<void> {
  if ((await ctx.journal.read()) !== undefined) await ctx.journal.clear();
  reportInFlight(ctx, undefined);
  await clearChanged(ctx);
}

/** Reports what the namespace says of a rollout. A dry-run marks nothing, so it reports nothing. */
export function reportInFlight({ request, report }: Context, inFlight: InFlight | undefined): void {
  if (request.dryRun) return;
  const snapshotTaken = inFlight?.snapshotPath !== undefined;
  report.emit({ type: 'in-flight', startedAt: inFlight?.startedAt, snapshotTaken });
}
