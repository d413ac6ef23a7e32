import { isConflict } from '../cluster/api-error.ts';
import { timeOf } from '../cluster/nodes.ts';
import { formatDuration } from '../duration.ts';
import { UpgradeError } from '../errors.ts';
import { submitFirstJob } from '../jobs/next-job.ts';
import { describeRunInProgress } from '../jobs/run-in-progress.ts';
import { unscheduledText, waitUntilScheduled } from '../jobs/unscheduled.ts';
import { annotationKeys } from '../names.ts';
import type { Release, UpgradeKind } from '../release.ts';
import { ConfigMapKillSwitch } from '../rollout/kill-switch.ts';
import { longestRun } from '../rollout/longest-run.ts';
import type { UpgradeRequest } from '../rollout/request.ts';
import { stageNames } from '../rollout/stages.ts';
import { dispatchToAgent, NotDispatchedError } from './agent-service.ts';
import type { DetectContext } from './detection.ts';
import { type Rollout, readRollout } from './observe.ts';

/**
 * Why nothing may be dispatched now: a halt, a run in progress, or an earlier dispatch. Undefined when it
 * may.
 */
export async function reasonNotToDispatch(
  ctx: DetectContext,
  rollout: Rollout,
  target: Release,
  nodeCount: number,
): Promise<string | undefined> {
  const { dispatch, namespace, timing } = ctx.settings;
  const halted = await new ConfigMapKillSwitch(ctx.client, namespace).reason();
  if (halted !== undefined) return `upgrades are halted: ${halted}`;
  const busy = describeRunInProgress(rollout.inProgress);
  if (busy !== undefined) return `a run is in progress: ${busy}`;
  const [release, time = '', by] = rollout.dispatched?.split(' ') ?? [];
  const at = Date.parse(time);
  const age = Date.now() - at;
  if (release !== target || !(age < longestRun(nodeCount, ctx.settings))) return undefined;
  // The detector may have been killed between the claim and creating the Job. Once no create request can
  // still be pending, a missing Job proves it. Whether the agent service accepted a dispatch cannot be
  // checked.
  const lastJobAt = timeOf(rollout.inProgress.jobs[0]?.metadata?.creationTimestamp) ?? 0;
  const neverStarted = age > timing.apiOutage + timing.apiRequest && lastJobAt < Math.floor(at / 1000) * 1000;
  if (dispatch.mode === 'job' && neverStarted) return undefined;
  const whom = by === undefined ? '' : ` by ${by}`;
  return `it was dispatched ${formatDuration(age)} ago${whom} and has not started (k8s-upgrade clear discards that dispatch)`;
}

/**
 * Records the dispatch before it is made, so that the next detection knows of it even if this process is
 * killed.
 *
 * @returns undefined when it is recorded; the current rollout when the namespace has changed since `version`,
 *   for example because another detection claimed it first.
 */
export async function claim(
  ctx: DetectContext,
  { version }: Rollout,
  target: Release,
): Promise<Rollout | undefined> {
  const note = `${target} ${new Date().toISOString()} ${ctx.processName}`;
  try {
    await ctx.writer.patchNamespace({ [dispatchedKey(ctx)]: note }, version);
    return undefined;
  } catch (error) {
    if (!isConflict(error)) throw error;
    const now = await readRollout(ctx.client, ctx.settings);
    // A patch that was retried after a lost response conflicts with its own first attempt.
    return now.dispatched === note ? undefined : now;
  }
}

const dispatchedKey = ({ settings }: DetectContext): string =>
  annotationKeys(settings.annotationPrefix).dispatched;

const forgetClaim = (ctx: DetectContext): Promise<void> =>
  ctx.writer.patchNamespace({ [dispatchedKey(ctx)]: null });

/** The result of a dispatch, for messages. */
export interface HandOut {
  /** Completes "dispatched …". */
  readonly how: string;
  /**
   * Why the Job is not scheduled, if the detector has to report that. @default - it is scheduled or not a Job
   */
  readonly unscheduled?: string | undefined;
}

/**
 * Dispatches the upgrade. Must be called once, after `claim`.
 *
 * @throws UpgradeError when the dispatch failed. The claim is then removed, unless the agent service may have
 *   accepted the dispatch.
 */
export async function handOut(
  ctx: DetectContext,
  target: Release,
  kind: UpgradeKind,
  nodeCount: number,
): Promise<HandOut> {
  const { settings, signal } = ctx;
  const request = { target, kind, dryRun: false, stages: stageNames };
  try {
    if (settings.dispatch.mode === 'job') return await createJob(ctx, request);
    const longest = longestRun(nodeCount, settings);
    const job = await dispatchToAgent(settings.dispatch.agentService, request, longest, signal);
    return { how: `to the agent service as job ${job}` };
  } catch (error) {
    const mayHaveArrived = !(error instanceof NotDispatchedError) && settings.dispatch.mode !== 'job';
    if (!mayHaveArrived && error instanceof UpgradeError) await forgetClaim(ctx);
    throw error;
  }
}

async function createJob(ctx: DetectContext, request: UpgradeRequest): Promise<HandOut> {
  const { settings, client, cluster, writer } = ctx;
  const { namespace } = settings;
  const { metadata } = await submitFirstJob({ client, cluster, writer, namespace }, request);
  const name = metadata?.name ?? '';
  const unscheduled = await describeIfUnscheduled(ctx, name);
  // The next detection finds this Job. If somebody deletes the Job first, it must dispatch at once.
  if (unscheduled !== undefined) await forgetClaim(ctx);
  return { how: `as Job ${name}`, unscheduled };
}

/**
 * Waits until the Job is scheduled. Nobody follows a Job that the detector created, so the detector has to
 * report one that is not (F4).
 *
 * @returns why it is not scheduled in time; undefined when it is.
 */
export async function describeIfUnscheduled(
  { client, settings, signal }: DetectContext,
  job: string,
): Promise<string | undefined> {
  const { namespace, timing } = settings;
  const { unschedulable } = timing;
  const reason = await waitUntilScheduled({ client, namespace, unschedulable, signal }, job);
  return reason === undefined ? undefined : unscheduledText(namespace, job, reason);
}
