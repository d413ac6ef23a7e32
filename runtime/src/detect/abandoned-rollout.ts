import { describeRunInProgress, readRunInProgress } from '../jobs/run-in-progress.ts';
import { namespaceJournal, type RolloutNotes } from '../rollout/journal.ts';
import { longestRun } from '../rollout/longest-run.ts';
import { isInProgress } from '../rollout/node-annotations.ts';
import type { DetectContext } from './detection.ts';
import { type Reading, type Rollout, releasesIn, targetInFlight } from './observe.ts';
import { publishNoRollout } from './report.ts';

/**
 * Clears in-flight annotations that an interrupted run left behind (F7): older than any run can take, no run
 * in progress, and no node in progress. An unfinished rollout is left for the dispatch that finishes it.
 * Idempotent.
 *
 * @returns the annotations afterwards; `version` is still the one from before they were cleared.
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
  if (describeRunInProgress(await readRunInProgress(client, namespace)) !== undefined) return seen.notes;
  const state = `the rollout to ${target ?? 'an unreadable release'} has been in flight since ${started}`;
  const clearing = dryRun ? 'its annotations would be cleared (dry-run)' : 'clearing its annotations';
  logger.warn(`${state}, but no run is in progress; ${clearing}`);
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
  if (new Set(running).size > 1 || nodes.some(isInProgress)) return false;
  // The nodes may already use the repository of the new minor, which has no patch of the old one.
  if (inFlight.kind !== 'minor') return true;
  const published = await targetInFlight(inFlight, running, repository);
  return published === undefined || running.includes(published);
}

/** Resets the gauge of the rollout in flight when there is none and no run is in progress. Idempotent. */
export async function showNoRollout(ctx: DetectContext, rollout: Rollout, dryRun: boolean): Promise<void> {
  if (dryRun || rollout.inFlight !== undefined || describeRunInProgress(rollout.inProgress) !== undefined)
    return;
  await publishNoRollout(ctx.settings.pushgateway).catch((error: Error) => ctx.logger.warn(error.message));
}
