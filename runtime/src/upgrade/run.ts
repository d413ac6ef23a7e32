import { LeaseHeldError } from '../cluster/lease.ts';
import type { ClusterNode } from '../cluster/nodes.ts';
import { formatDuration } from '../duration.ts';
import { InputError, type Outcome, outcomeOf, UpgradeError } from '../errors.ts';
import type { Release } from '../release.ts';
import { assertNotHalted } from '../rollout/kill-switch.ts';
import { isChanged } from '../rollout/node-annotations.ts';
import { remaining } from '../rollout/remaining.ts';
import { endsRollout, isRollout, rowsOf, type StageName } from '../rollout/stages.ts';
import { checkRequest } from './check-request.ts';
import type { Context, Stage, StageEnd } from './context.ts';
import { forgetRollout, noteInFlight, reportInFlight } from './in-flight.ts';
import { catchUpWith } from './nodes/joined-node.ts';
import { checkInFlight, checkOrder } from './preconditions.ts';
import { stagesOf } from './stages/index.ts';

/** How a run ended. */
export interface RunResult {
  /** `done`, `held`, `blocked` or `failed`; the exit code follows from it. */
  readonly outcome: Outcome;
  /** One sentence, or a sentence and a list of reasons. */
  readonly message: string;
  /** What the operator can do. @default nothing */
  readonly hint?: string;
  /** The next Job continues; the rollout has not ended. @default false */
  readonly handedOff?: boolean;
  /** The cluster was at the target, and no rollout was in flight. @default false */
  readonly nothingToDo?: boolean;
  /** An earlier process of this run has already reported this end. @default false */
  readonly repeated?: boolean;
}

/** The end of a Job whose run the next Job continues. */
export const handedOff: RunResult = {
  outcome: 'done',
  message: 'the next Job continues from here',
  handedOff: true,
};

/**
 * Brings the cluster to the target, whatever its state, as far as the requested stages go. Starting and
 * resuming are the same code.
 *
 * @param interrupted whether an earlier process of this run was killed before its end.
 * @throws UpgradeError (badInput) before anything is changed; the signal's reason when it is aborted.
 */
export async function runUpgrade(ctx: Context, interrupted = false): Promise<RunResult> {
  const { nodes, running } = await checkRequest(ctx);
  const { target } = ctx.request;
  try {
    const walked = await walkStages(ctx, nodes, running).catch((error) => resultOf(ctx, error));
    // Nothing is in flight, so an earlier process already reported the result and cleared the annotations.
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
    const completes = result.outcome === 'done' && endsRollout(ctx.request.stages) && !ctx.request.dryRun;
    return completes ? await closeRollout(ctx, result) : result;
  } catch (error) {
    const isReported = error instanceof InputError && !ctx.signal.aborted;
    if (isReported) ctx.report.emit({ type: 'run-ended', target, outcome: 'failed', message: error.message });
    throw error;
  }
}

/**
 * Ends a rollout: first sends the report, then clears the annotations. If the process is killed in between,
 * the next one finds the rollout in flight, runs only post-flight and reports again. The end may be reported
 * twice but is never lost.
 */
async function closeRollout(ctx: Context, result: RunResult): Promise<RunResult> {
  try {
    await ctx.report.flush();
    await forgetRollout(ctx);
    return result;
  } catch (error) {
    const failure = await resultOf(ctx, error);
    ctx.report.emit({ type: 'run-ended', target: ctx.request.target, ...failure });
    return failure;
  }
}

async function walkStages(ctx: Context, nodes: readonly ClusterNode[], running: Release): Promise<RunResult> {
  const { target, kind, stages, dryRun } = ctx.request;
  const found = await ctx.journal.read();
  if (found === undefined && (await isDone(ctx, nodes)))
    return { outcome: 'done', message: `every node is at ${target} already`, nothingToDo: true };
  const resumed = found !== undefined && nodes.some((node) => isChanged(node, found));
  reportInFlight(ctx, found);
  ctx.report.emit({ type: 'run-started', target, kind, running, stages, resumed, nodes });
  await ctx.journal.acknowledge();
  await assertNotHalted(ctx.killSwitch);
  checkInFlight(ctx, found);
  await checkOrder(ctx, nodes);
  const started = found?.startedAt ?? Date.now();
  const requested = stagesOf(stages);
  const known = new Set(nodes.map((node) => node.name));
  const end = await walkAll({ ...ctx, catchUp: catchUpWith(ctx, requested, known) }, requested);
  if (end === 'handed-off') return handedOff;
  // A dry-run announces the clearing before it reports its end.
  if (dryRun && endsRollout(stages)) await forgetRollout(ctx);
  const took = formatDuration(Date.now() - started);
  const message = dryRun
    ? `dry-run finished for ${target} in ${took}; nothing was changed`
    : `${describeStages(stages)} for ${target} in ${took}`;
  return { outcome: 'done', message };
}

/** Whether a run that includes the workers finds the whole cluster at the target. */
async function isDone({ cluster, request }: Context, nodes: readonly ClusterNode[]): Promise<boolean> {
  if (!rowsOf(request.stages).some(({ rolls }) => rolls === 'workers')) return false;
  return (await remaining(cluster, request.target, nodes)).nodes.length === 0;
}

async function walkAll(ctx: Context, stages: readonly Stage[]): Promise<StageEnd> {
  // A run that changes no node is no rollout and sets no in-flight annotation that could be left over (F7).
  const setsInFlight = isRollout(ctx.request.stages);
  for (const stage of stages) {
    if (setsInFlight && stage.rollout !== 'before') await noteInFlight(ctx);
    if ((await walkStage(ctx, stage)) === 'handed-off') return 'handed-off';
  }
  return 'done';
}

async function walkStage(ctx: Context, stage: Stage): Promise<StageEnd> {
  const { name, summary } = stage;
  ctx.signal.throwIfAborted();
  const why = await stage.skipReason(ctx);
  if (why !== undefined) {
    ctx.report.emit({ type: 'stage-skipped', stage: name, why });
    return 'done';
  }
  const started = Date.now();
  ctx.report.emit({ type: 'stage-started', stage: name, summary });
  const end = await stage.run(ctx);
  if (end === 'handed-off') return end;
  ctx.report.emit({ type: 'stage-done', stage: name, seconds: (Date.now() - started) / 1000 });
  if (stage.rollout === 'snapshot') reportInFlight(ctx, await ctx.journal.read());
  return end;
}

const describeStages = (names: readonly StageName[]): string =>
  endsRollout(names) ? 'upgrade finished' : `${names.join(', ')} done`;

/**
 * Turns an error into an outcome that the run reports. Rethrows bad input with nothing changed, an abort, a
 * lost lease, and bugs.
 */
async function resultOf(ctx: Context, error: unknown): Promise<RunResult> {
  ctx.signal.throwIfAborted();
  if (!(error instanceof UpgradeError) || error instanceof LeaseHeldError) throw error;
  const unchanged = error.code === 'badInput' && (await ctx.journal.read()) === undefined;
  if (unchanged) throw error;
  const { message, hint } = error;
  return { outcome: outcomeOf(error), message, ...(hint !== undefined && { hint }) };
}
