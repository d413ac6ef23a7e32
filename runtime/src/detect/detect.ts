import type { Outcome } from '../errors.ts';
import { describeStuckPod, podlessJob, readRunInProgress } from '../jobs/run-in-progress.ts';
import type { Release } from '../release.ts';
import type { Candidate } from '../releases/repository.ts';
import type { RolloutNotes } from '../rollout/journal.ts';
import { clearAbandoned, showNoRollout } from './abandoned-rollout.ts';
import { readToken } from './agent-service.ts';
import { type Candidates, choose, type Decision, type Observation, unfinishedCandidate } from './choose.ts';
import type { DetectContext, Detection } from './detection.ts';
import { claim, describeIfUnscheduled, handOut, reasonNotToDispatch } from './hand-out.ts';
import {
  checkReach,
  findCandidates,
  observe,
  type Reading,
  type Rollout,
  readCluster,
  releasesIn,
  targetInFlight,
} from './observe.ts';

/** What was observed and chosen. */
export interface Choice {
  /** What the cluster runs. */
  readonly seen: Observation;
  /** The releases to choose from. */
  readonly candidates: Candidates;
  /** The chosen release, and why others were refused. */
  readonly decision: Decision;
}

/**
 * Observes and chooses, for `k8s-upgrade plan`; changes nothing in the cluster.
 *
 * @throws UpgradeError when the available releases cannot be read; BlockedError when a kubelet is too far
 * behind.
 */
export const decide = async (ctx: DetectContext): Promise<Choice> => chooseFor(ctx, await readCluster(ctx));

async function chooseFor(ctx: DetectContext, reading: Reading): Promise<Choice> {
  const { nodes, server, notes } = reading;
  checkReach(nodes, server);
  const target = await targetInFlight(notes.inFlight, releasesIn(reading), ctx.repository);
  const seen = observe(nodes, server, target, notes.inFlight?.kind);
  // An unfinished rollout is finished first. Nothing else is looked up: the nodes may use the new minor's
  // repository.
  const candidates =
    unfinishedCandidate(seen) ?? (await findCandidates(nodes, seen.running, ctx.shell, ctx.repository));
  return { seen, candidates, decision: choose(seen, candidates, ctx.settings.policy, Date.now()) };
}

/**
 * Runs one detection: observes, chooses, and dispatches unless something prevents that. May be called again
 * at any time.
 *
 * Reads everything once: first what the choice depends on, last whether a run is in progress. Reads the
 * rollout again only if the namespace has changed in between.
 *
 * @throws UpgradeError when the available releases cannot be read, or the dispatch failed.
 */
export async function detect(ctx: DetectContext, dryRun: boolean): Promise<Detection> {
  const { mode, agentService } = ctx.settings.dispatch;
  // Fail before recording a dispatch that could not be made.
  if (mode === 'agent-service' && !dryRun) readToken(agentService.tokenFile);
  const reading = await readCluster(ctx);
  const notes = await clearAbandoned(ctx, reading, dryRun);
  const choice = await chooseFor(ctx, { ...reading, notes }).catch(async (error) => {
    await readRolloutNow(ctx, notes, dryRun).catch(() => {});
    throw error;
  });
  // Read last: refreshing a node's package list may take long, and a run that a person started meanwhile has
  // not necessarily changed the namespace.
  const rollout = await readRolloutNow(ctx, notes, dryRun);
  const { seen, candidates, decision } = choice;
  for (const { release, kind, reason } of decision.refused)
    ctx.logger.info(`skipping ${kind} ${release}: ${reason}`);
  const available = newestOfEach(candidates);
  const { running } = seen;
  const result: Result = (outcome, message, news = true) => ({ outcome, message, running, available, news });
  const { target } = decision;
  if (target === undefined) return withoutTarget(decision, running, result);
  return dispatch(ctx, rollout, target, reading.nodes.length, dryRun, (outcome, message) =>
    result(outcome, `${running} → ${target.release} (${target.kind}, ${target.why}): ${message}`),
  );
}

async function readRolloutNow(ctx: DetectContext, notes: RolloutNotes, dryRun: boolean): Promise<Rollout> {
  const rollout = { ...notes, inProgress: await readRunInProgress(ctx.client, ctx.settings.namespace) };
  await showNoRollout(ctx, rollout, dryRun);
  return rollout;
}

type Result = (outcome: Outcome, message: string, news?: boolean) => Detection;

async function dispatch(
  ctx: DetectContext,
  found: Rollout,
  { release, kind }: NonNullable<Decision['target']>,
  nodeCount: number,
  dryRun: boolean,
  result: Result,
): Promise<Detection> {
  let rollout: Rollout | undefined = found;
  while (rollout !== undefined) {
    const held = await reasonNotToDispatch(ctx, rollout, release, nodeCount);
    const stuck = await describeStuckJob(ctx, rollout);
    if (stuck !== undefined) return result('blocked', `not dispatched, ${stuck}`);
    if (held !== undefined) return result('held', `not dispatched, ${held}`);
    if (dryRun) return result('done', 'would be dispatched (dry-run)');
    rollout = await claim(ctx, rollout, release);
  }
  const end = await handOut(ctx, release, kind, nodeCount);
  if (end.unscheduled !== undefined)
    return result('blocked', `dispatched ${end.how}, and ${end.unscheduled}`);
  return result('done', `dispatched ${end.how}`);
}

/**
 * Why the active Job does not run and needs somebody to act; waits a while for the pod of a Job that has
 * none.
 */
async function describeStuckJob(ctx: DetectContext, { inProgress }: Rollout): Promise<string | undefined> {
  const { namespace, timing } = ctx.settings;
  const podless = podlessJob(inProgress);
  return (
    describeStuckPod(inProgress, namespace, timing.unschedulable) ??
    (podless === undefined ? undefined : await describeIfUnscheduled(ctx, podless))
  );
}

function withoutTarget({ refused }: Decision, running: Release, result: Result): Detection {
  if (refused.length === 0)
    return result(
      'done',
      `up to date: every kubelet runs at least ${running}, and no newer release is available`,
      false,
    );
  const reasons = refused.map((one) => `${one.release} (${one.reason})`).join(', ');
  return result('held', `running ${running}; newer releases are held back: ${reasons}`);
}

function newestOfEach({ patches, minors }: Candidates): Detection['available'] {
  const isWhole = ({ missing = [] }: Candidate) => missing.length === 0;
  const [patch, minor] = [patches.find(isWhole), minors.find(isWhole)];
  return [
    ...(patch ? [{ kind: 'patch' as const, release: patch.release }] : []),
    ...(minor ? [{ kind: 'minor' as const, release: minor.release }] : []),
  ];
}
