import { LeaseHeldError } from '../cluster/lease.ts';
import type { ClusterNode } from '../cluster/nodes.ts';
import { formatDuration } from '../duration.ts';
import { InputError, type Outcome, UpgradeError } from '../errors.ts';
import { isInterrupted, isTouched } from '../gates/alerts.ts';
import { serversBehind } from '../gates/versions.ts';
import { minorOf, oldest, type Release } from '../release.ts';
import type { InFlight } from '../rollout/journal.ts';
import { assertNotHalted } from '../rollout/kill-switch.ts';
import { checkAgainstCluster } from '../rollout/request.ts';
import { type StageName, stageSummaries } from '../rollout/stages.ts';
import type { Context, StageEnd } from './context.ts';
import { isPending } from './nodes/node.ts';
import { checkMark, checkOrder } from './preconditions.ts';
import { changingStages, stages } from './stages/index.ts';
import { clearTouched } from './stages/postflight.ts';

export interface RunResult {
  readonly outcome: Outcome;
  readonly message: string;
  readonly hint?: string;
  /** Another leg goes on; the rollout has not ended. */
  readonly handedOff?: boolean;
  /** The cluster was at the target, and no rollout in flight. */
  readonly nothingToDo?: boolean;
  /** The end that an earlier process of this run has told already. */
  readonly repeated?: boolean;
}

/**
 * Takes the cluster from wherever it is to the target, as far as the requested stages go. Starting and resuming
 * are the same thing.
 *
 * @param interrupted an earlier process of this run came to no end of its own.
 * @throws UpgradeError (badInput) before anything is touched; the signal's reason when called off.
 */
export async function runUpgrade(ctx: Context, interrupted = false): Promise<RunResult> {
  const { nodes, running } = await checkRequest(ctx);
  const { target } = ctx.request;
  try {
    const walked = await walkStages(ctx, nodes, running).catch((error) => resultOf(ctx, error));
    // Interrupted, with nothing in flight: it was forgotten, and so had been told.
    const result = interrupted && walked.nothingToDo ? { ...walked, repeated: true } : walked;
    if (result.handedOff) return result;
    const { outcome, message, hint, repeated } = result;
    ctx.report.emit({
      type: 'run-ended',
      target,
      outcome,
      message,
      ...(hint !== undefined && { hint }),
      ...(repeated && { repeated }),
    });
    const closes = result.outcome === 'done' && closesRollout(ctx) && !ctx.request.dryRun;
    return closes ? await closeRollout(ctx, result) : result;
  } catch (error) {
    const told = error instanceof InputError && !ctx.signal.aborted;
    if (told) ctx.report.emit({ type: 'run-ended', target, outcome: 'failed', message: error.message });
    throw error;
  }
}

/**
 * Reads the cluster and checks the request against it; touches nothing.
 *
 * @throws UpgradeError (badInput).
 */
export async function checkRequest(ctx: Context): Promise<{ nodes: ClusterNode[]; running: Release }> {
  const [nodes, server, [odd], found] = await Promise.all([
    ctx.cluster.nodes(),
    ctx.cluster.serverRelease(),
    ctx.cluster.unreadableNodes(),
    ctx.journal.read(),
  ]);
  // In the middle of a rollout something was touched: there the gates say it.
  if (odd !== undefined && found === undefined) throw odd;
  const running = oldest(nodes.map((node) => node.release)) ?? server;
  checkAgainstCluster(ctx.request, running, server);
  // A URL of something else is bad input; what is away is for the gates.
  const answers: Promise<unknown>[] = [
    ctx.alerts.firing(),
    ...(nodes.some((node) => isPending(ctx, node)) ? [askRepository(ctx)] : []),
  ];
  const wrong = (await Promise.allSettled(answers)).flatMap((one) =>
    one.status === 'rejected' && one.reason instanceof InputError ? [one.reason] : [],
  );
  if (wrong[0] !== undefined && found === undefined) throw wrong[0];
  return { nodes, running };
}

async function askRepository({ repository, request }: Context): Promise<void> {
  const minor = minorOf(request.target);
  if (await repository.hasMinor(minor)) await repository.packages(minor);
}

const closesRollout = ({ request }: Context): boolean => request.stages.includes('postflight');

/**
 * The end of a rollout: told first, then forgotten. Killed in between, the next process finds the rollout in flight, does
 * nothing but post-flight and tells it again: the end may be told twice, and is never lost.
 */
async function closeRollout(ctx: Context, result: RunResult): Promise<RunResult> {
  try {
    await ctx.report.flush();
    await forget(ctx);
    return result;
  } catch (error) {
    const failure = await resultOf(ctx, error);
    ctx.report.emit({ type: 'run-ended', target: ctx.request.target, ...failure });
    return failure;
  }
}

/**
 * As long as the namespace says in flight, the nodes say what was touched: a process that has to go on knows its own alerts (F8).
 * Killed before the last of them, the next process finds nothing to do and forgets the rest.
 */
async function forget(ctx: Context): Promise<void> {
  if ((await ctx.journal.read()) !== undefined) await ctx.journal.clear();
  tellInFlight(ctx, undefined, false);
  await clearTouched(ctx);
}

async function walkStages(ctx: Context, nodes: readonly ClusterNode[], running: Release): Promise<RunResult> {
  const { target, kind } = ctx.request;
  const found = await ctx.journal.read();
  if (found === undefined && (await isDone(ctx, nodes)))
    return { outcome: 'done', message: `every node is at ${target} already`, nothingToDo: true };
  const resumed = found !== undefined && nodes.some((node) => isTouched(node, found));
  tellInFlight(ctx, found?.startedAt, found?.snapshotPath !== undefined);
  ctx.report.emit({ type: 'run-started', target, kind, running, stages: ctx.request.stages, resumed, nodes });
  await ctx.journal.acknowledge();
  await assertNotHalted(ctx.cluster);
  checkMark(ctx, found);
  await checkOrder(ctx, nodes);
  const started = found?.startedAt ?? Date.now();
  const known = new Set(nodes.map((node) => node.name));
  const end = await walkAll({ ...ctx, known });
  if (end === 'handed-off') {
    return { outcome: 'done', message: 'the next leg goes on from here', handedOff: true };
  }
  // Whatever it would do is said before its end.
  if (ctx.request.dryRun && closesRollout(ctx)) await forget(ctx);
  const took = formatDuration(Date.now() - started);
  const ended = ctx.request.dryRun
    ? 'dry-run ended, nothing was changed,'
    : describeStages(ctx.request.stages);
  return { outcome: 'done', message: `${ended} for ${target} in ${took}` };
}

/** There is nothing left of what is asked for. */
async function isDone(ctx: Context, nodes: readonly ClusterNode[]): Promise<boolean> {
  if (!ctx.request.stages.includes('workers') || nodes.some((node) => isPending(ctx, node))) return false;
  return (await serversBehind(ctx.cluster, nodes, ctx.request.target)).length === 0;
}

async function walkAll(ctx: Context): Promise<StageEnd> {
  // What changes no node leaves the cluster as it was: there is no rollout, and no latch to leak (F7).
  const isRollout = ctx.request.stages.some((name) => changingStages.includes(name));
  for (const name of ctx.request.stages) {
    if (isRollout && name !== 'preflight') await mark(ctx);
    if ((await walkStage(ctx, name)) === 'handed-off') return 'handed-off';
  }
  return 'done';
}

async function walkStage(ctx: Context, name: StageName): Promise<StageEnd> {
  const stage = stages[name];
  ctx.signal.throwIfAborted();
  const why = await stage.idle(ctx);
  if (why !== undefined) {
    ctx.report.emit({ type: 'stage-skipped', stage: name, why });
    return 'done';
  }
  const started = Date.now();
  ctx.report.emit({ type: 'stage-started', stage: name, summary: stageSummaries[name] });
  const end = await stage.run(ctx);
  if (end === 'done') {
    ctx.report.emit({ type: 'stage-done', stage: name, seconds: (Date.now() - started) / 1000 });
    if (name === 'snapshot') await tellJournal(ctx);
  }
  return end;
}

/** Set once preflight is through: from here on an interruption is to be noticed. */
async function mark(ctx: Context): Promise<void> {
  const { target, kind } = ctx.request;
  const before = await ctx.journal.read();
  if (before?.target === target && before.kind === kind) return;
  const { startedAt, snapshotPath } = await ctx.journal.begin(target, kind, await isHalfWay(ctx, before));
  if (before?.startedAt !== startedAt) tellInFlight(ctx, startedAt, snapshotPath !== undefined);
}

/** The rollout in flight has touched nodes, and has not brought all of them to where it was to go. */
async function isHalfWay({ cluster }: Context, inFlight: InFlight | undefined): Promise<boolean> {
  const nodes = await cluster.nodes();
  const target = inFlight?.target;
  return (
    nodes.some((node) => isTouched(node, inFlight)) &&
    (target === undefined ||
      nodes.some((node) => node.release !== target || isInterrupted(node)) ||
      (await serversBehind(cluster, nodes, target)).length > 0)
  );
}

async function tellJournal(ctx: Context): Promise<void> {
  const found = await ctx.journal.read();
  tellInFlight(ctx, found?.startedAt, found?.snapshotPath !== undefined);
}

function tellInFlight(ctx: Context, startedAt: number | undefined, snapshotTaken: boolean): void {
  // A dry-run marks nothing, whatever it works with.
  if (!ctx.request.dryRun) ctx.report.emit({ type: 'in-flight', startedAt, snapshotTaken });
}

const describeStages = (names: readonly StageName[]): string =>
  names.includes('postflight') ? 'upgrade finished' : `${names.join(', ')} done`;

/**
 * Everything is an outcome that the run itself reports, but for bad input with nothing touched, being called off, and no longer
 * being the one to speak.
 */
async function resultOf(ctx: Context, error: unknown): Promise<RunResult> {
  ctx.signal.throwIfAborted();
  if (!(error instanceof UpgradeError) || error instanceof LeaseHeldError) throw error;
  const untouched = error.code === 'badInput' && (await ctx.journal.read()) === undefined;
  if (untouched) throw error;
  const outcome = error.code === 'badInput' ? 'failed' : (error.code as Outcome);
  return { outcome, message: error.message, ...(error.hint !== undefined && { hint: error.hint }) };
}
