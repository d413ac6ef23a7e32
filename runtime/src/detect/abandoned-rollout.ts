import { describeAtWork } from '../jobs/at-work.ts';
import { namespaceJournal } from '../rollout/journal.ts';
import { longestRun } from '../rollout/longest-run.ts';
import { isBegun } from '../rollout/node-marks.ts';
import type { DetectContext } from './detection.ts';
import { type Reading, type Rollout, releasesIn, targetInFlight } from './observe.ts';
import { publishIdle } from './report.ts';

/**
 * Clears a mark that an interrupted run left behind (F7): older than any run can take, nobody at it, and no node half
 * way. One that is half way is left for the dispatch that finishes it. Without a mark, the gauge is to show none either.
 *
 * @returns the rollout as it is now.
 */
export async function healLatch(ctx: DetectContext, seen: Reading, dryRun: boolean): Promise<Rollout> {
  const { rollout } = seen;
  if (describeAtWork(rollout.atWork) !== undefined) return rollout;
  if (rollout.inFlight === undefined) await tellIdle(ctx, dryRun);
  if (!(await isAbandoned(ctx, seen))) return rollout;
  const { target, started } = rollout.inFlight ?? {};
  ctx.logger.warn(
    `a rollout to ${target} was marked as in flight since ${started}, and nobody is at it; clearing the mark`,
  );
  if (dryRun) return rollout;
  const { settings, client, writer } = ctx;
  await namespaceJournal(client, writer, settings.namespace, settings.annotationPrefix).clear();
  await tellIdle(ctx, dryRun);
  return { ...rollout, inFlight: undefined, dispatched: undefined };
}

async function isAbandoned({ settings, repository }: DetectContext, seen: Reading): Promise<boolean> {
  const { nodes, rollout } = seen;
  const { inFlight } = rollout;
  if (inFlight === undefined) return false;
  if (Date.now() - inFlight.startedAt < longestRun(nodes.length, settings)) return false;
  const running = releasesIn(seen);
  if (new Set(running).size > 1 || nodes.some((node) => isBegun(node, inFlight))) return false;
  // Nothing is drained yet, and nodes' repositories may be of its minor already: they offer no patch of the old one.
  if (inFlight.kind !== 'minor') return true;
  const published = await targetInFlight(inFlight, running, repository);
  return published === undefined || running.includes(published);
}

async function tellIdle({ settings, logger }: DetectContext, dryRun: boolean): Promise<void> {
  if (!dryRun) await publishIdle(settings.pushgateway).catch((error: Error) => logger.warn(error.message));
}
