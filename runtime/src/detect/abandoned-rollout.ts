import { describeAtWork, readAtWork } from '../jobs/at-work.ts';
import { namespaceJournal, type RolloutNotes } from '../rollout/journal.ts';
import { longestRun } from '../rollout/longest-run.ts';
import { isInProgressOf } from '../rollout/node-marks.ts';
import type { DetectContext } from './detection.ts';
import { type Reading, type Rollout, releasesIn, targetInFlight } from './observe.ts';
import { publishNoRollout } from './report.ts';

/**
 * Clears a mark that an interrupted run left behind (F7): older than any run can take, nobody at it, and no node half
 * way. One that is half way is left for the dispatch that finishes it.
 *
 * @returns what the namespace says now.
 */
export async function clearAbandoned(
  ctx: DetectContext,
  seen: Reading,
  dryRun: boolean,
): Promise<RolloutNotes> {
  const { settings, client, writer, logger } = ctx;
  const { namespace, annotationPrefix } = settings;
  const { target, started } = seen.notes.inFlight ?? {};
  if (!(await isAbandoned(ctx, seen))) return seen.notes;
  if (describeAtWork(await readAtWork(client, namespace)) !== undefined) return seen.notes;
  logger.warn(
    `a rollout to ${target} was marked as in flight since ${started}, and nobody is at it; clearing the mark`,
  );
  if (dryRun) return seen.notes;
  await namespaceJournal(client, writer, namespace, annotationPrefix).clear();
  return { ...seen.notes, inFlight: undefined, dispatched: undefined };
}

async function isAbandoned({ settings, repository }: DetectContext, seen: Reading): Promise<boolean> {
  const { nodes, notes } = seen;
  const { inFlight } = notes;
  if (inFlight === undefined) return false;
  if (Date.now() - inFlight.startedAt < longestRun(nodes.length, settings)) return false;
  const running = releasesIn(seen);
  if (new Set(running).size > 1 || nodes.some((node) => isInProgressOf(node, inFlight))) return false;
  // Nothing is drained yet, and nodes' repositories may be of its minor already: they offer no patch of the old one.
  if (inFlight.kind !== 'minor') return true;
  const published = await targetInFlight(inFlight, running, repository);
  return published === undefined || running.includes(published);
}

/** Where no rollout is marked and nobody is at work, the gauge is to show none either. */
export async function showNoRollout(ctx: DetectContext, rollout: Rollout, dryRun: boolean): Promise<void> {
  if (dryRun || rollout.inFlight !== undefined || describeAtWork(rollout.atWork) !== undefined) return;
  await publishNoRollout(ctx.settings.pushgateway).catch((error: Error) => ctx.logger.warn(error.message));
}
