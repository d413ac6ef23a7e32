import type { Logger } from 'pino';
import { isConflict } from '../cluster/api-error.ts';
import type { KubernetesClient } from '../cluster/client.ts';
import type { ClusterNode } from '../cluster/nodes.ts';
import type { ClusterReader } from '../cluster/reader.ts';
import type { ClusterWriter } from '../cluster/writer.ts';
import { formatDuration } from '../duration.ts';
import { type Outcome, UpgradeError } from '../errors.ts';
import { isBegun } from '../gates/alerts.ts';
import { type Rollout, readRollout, targetInFlight } from '../jobs/at-work.ts';
import { newRunId, submitLeg } from '../jobs/next-job.ts';
import { untakenText, whyUntaken } from '../jobs/unscheduled.ts';
import { annotationKeys } from '../names.ts';
import type { Release, UpgradeKind } from '../release.ts';
import type { PackageRepository } from '../releases/repository.ts';
import { namespaceJournal } from '../rollout/journal.ts';
import { longestRun } from '../rollout/longest-run.ts';
import { stageNames } from '../rollout/stages.ts';
import type { Settings } from '../settings/settings.ts';
import type { NodeShell } from '../ssh/node-shell.ts';
import { dispatchToAgent, NotDispatchedError, readToken } from './agent-service.ts';
import { type Candidates, choose, type Decision, type Observation, unfinishedCandidate } from './choose.ts';
import { checkReach, findCandidates, observe } from './observe.ts';
import { publishIdle } from './report.ts';

export interface DetectContext {
  readonly settings: Settings;
  readonly client: KubernetesClient;
  readonly cluster: ClusterReader;
  readonly writer: ClusterWriter;
  /** Without it no node's package list is refreshed: what is published is taken for what nodes are offered. */
  readonly shell: NodeShell | undefined;
  readonly repository: PackageRepository;
  readonly logger: Logger;
  readonly signal: AbortSignal;
  /** Who detects: no other process has this name. */
  readonly process: string;
}

export interface Detection {
  readonly outcome: Outcome;
  readonly message: string;
  readonly running: Release;
  /** The newest release of each kind that exists, taken or not. */
  readonly available: readonly { readonly kind: UpgradeKind; readonly release: Release }[];
  /** Whether anybody should be told. */
  readonly news: boolean;
}

/**
 * Observes and chooses; changes nothing.
 *
 * @throws UpgradeError when it cannot be told what is available, or no step can be taken.
 */
export async function decide(
  ctx: DetectContext,
): Promise<{ seen: Observation; candidates: Candidates; decision: Decision }> {
  const [nodes, server, rollout] = await Promise.all([
    ctx.cluster.nodes(),
    ctx.cluster.serverRelease(),
    readRollout(ctx.client, ctx.settings),
  ]);
  checkReach(nodes, server);
  const running = [server, ...nodes.map((node) => node.release)];
  const target = await targetInFlight(rollout, running, ctx.repository);
  const seen = observe(nodes, server, target, rollout.inFlight?.kind);
  // What is half way is finished, whatever else is out; and the nodes' lists may be of its minor already.
  const candidates =
    unfinishedCandidate(seen) ?? (await findCandidates(nodes, seen.running, ctx.shell, ctx.repository));
  return { seen, candidates, decision: choose(seen, candidates, ctx.settings.policy, Date.now()) };
}

/**
 * One detection: observe, choose, and dispatch unless something stands in the way.
 *
 * @throws UpgradeError when it cannot be told what is available, or the dispatch failed.
 */
export async function detect(ctx: DetectContext, dryRun: boolean): Promise<Detection> {
  const { mode, agentService } = ctx.settings.dispatch;
  // Before anything is written down of a dispatch that could not be made.
  if (mode === 'agent-service' && !dryRun) readToken(agentService.tokenFile);
  const nodes = await ctx.cluster.nodes();
  await healLatch(ctx, nodes, dryRun);
  const { seen, candidates, decision } = await decide(ctx);
  for (const { release, kind, reason } of decision.refused)
    ctx.logger.info(`not taking ${kind} ${release}: ${reason}`);
  const available = newestOfEach(candidates);
  const result = (outcome: Outcome, message: string, news = true): Detection => ({
    outcome,
    message,
    running: seen.running,
    available,
    news,
  });
  const { target } = decision;
  if (target === undefined) return whenNothingToTake(decision, seen.running, result);
  const found = `${seen.running} → ${target.release} (${target.kind}, ${target.why})`;
  for (let claimed = false; !claimed; ) {
    const rollout = await readRollout(ctx.client, ctx.settings);
    const held = await whyHeld(ctx, rollout, target.release, nodes.length);
    const { podless, untaken = podless && (await whyNotTaken(ctx, podless)) } = rollout;
    if (untaken !== undefined) return result('blocked', `${found}: not dispatched, ${untaken}`);
    if (held !== undefined) return result('held', `${found}: not dispatched, ${held}`);
    if (dryRun) return result('done', `${found}: would be dispatched (dry-run)`);
    claimed = await claim(ctx, rollout, target.release);
  }
  const { how, untaken } = await dispatch(ctx, target.release, target.kind, nodes.length);
  if (untaken !== undefined) return result('blocked', `${found}: dispatched ${how}, and ${untaken}`);
  return result('done', `${found}: dispatched ${how}`);
}

function whenNothingToTake(
  { refused }: Decision,
  running: Release,
  result: (outcome: Outcome, message: string, news?: boolean) => Detection,
): Detection {
  if (refused.length === 0)
    return result(
      'done',
      `up to date: every kubelet runs at least ${running}, and nothing newer is out`,
      false,
    );
  const reasons = refused.map((one) => `${one.release} (${one.reason})`).join(', ');
  return result('held', `running ${running}; newer releases are held back: ${reasons}`);
}

function newestOfEach({ patches, minors }: Candidates): Detection['available'] {
  const [patch] = patches;
  const [minor] = minors;
  return [
    ...(patch ? [{ kind: 'patch' as const, release: patch.release }] : []),
    ...(minor ? [{ kind: 'minor' as const, release: minor.release }] : []),
  ];
}

/** Why this is not the moment to dispatch. */
async function whyHeld(
  ctx: DetectContext,
  rollout: Rollout,
  target: Release,
  nodeCount: number,
): Promise<string | undefined> {
  const halted = await ctx.cluster.killSwitch();
  if (halted !== undefined) return `upgrades are halted: ${halted}`;
  const { busy, dispatched, lastLegAt = 0 } = rollout;
  if (busy !== undefined) return `a run is in flight: ${busy}`;
  const [release, time = '', by] = dispatched?.split(' ') ?? [];
  const at = Date.parse(time);
  const age = Date.now() - at;
  if (release !== target || !(age < longestRun(nodeCount, ctx.settings))) return undefined;
  // Killed before it created the Job. The API says so, once nobody can be about to; of the agent service nobody can ask what it took.
  const { dispatch, timing } = ctx.settings;
  const neverBegan = age > timing.apiOutage + timing.apiRequest && lastLegAt < Math.floor(at / 1000) * 1000;
  if (dispatch.mode === 'job' && neverBegan) return undefined;
  const whom = by === undefined ? '' : ` by ${by}`;
  return `it was dispatched ${formatDuration(age)} ago${whom} and has not begun (k8s-upgrade clear forgets that)`;
}

/**
 * Clears a mark that an interrupted run left behind (F7): older than any run can take, nobody at it, and no node half
 * way. One that is half way is left for the dispatch that finishes it. Without a mark, the gauge is to show none either.
 */
async function healLatch(ctx: DetectContext, nodes: readonly ClusterNode[], dryRun: boolean): Promise<void> {
  const rollout = await readRollout(ctx.client, ctx.settings);
  const { inFlight, busy } = rollout;
  if (busy !== undefined) return;
  if (inFlight === undefined) return tellIdle(ctx, dryRun);
  if (Date.now() - inFlight.startedAt < longestRun(nodes.length, ctx.settings)) return;
  const running = [await ctx.cluster.serverRelease(), ...nodes.map((node) => node.release)];
  const halfWay = new Set(running).size > 1 || nodes.some((node) => isBegun(node, inFlight));
  if (halfWay) return;
  // Nothing is drained yet, and nodes' repositories may be of its minor already: they offer no patch of the old one.
  const target = inFlight.kind === 'minor' && (await targetInFlight(rollout, running, ctx.repository));
  if (target && !running.includes(target)) return;
  ctx.logger.warn(
    `a rollout to ${inFlight.target} was marked as in flight since ${inFlight.started}, and nobody is at it; clearing the mark`,
  );
  if (dryRun) return;
  const { settings, client, writer } = ctx;
  await namespaceJournal(client, writer, settings.namespace, settings.annotationPrefix).clear();
  await tellIdle(ctx, dryRun);
}

async function tellIdle({ settings, logger }: DetectContext, dryRun: boolean): Promise<void> {
  if (!dryRun) await publishIdle(settings.pushgateway).catch((error: Error) => logger.warn(error.message));
}

/**
 * Notes the dispatch before it is made: killed right after it, the next detection knows of it.
 *
 * @returns false when the namespace has changed meanwhile: another detection may have been quicker.
 */
async function claim(ctx: DetectContext, { version }: Rollout, target: Release): Promise<boolean> {
  const key = annotationKeys(ctx.settings.annotationPrefix).dispatched;
  const note = `${target} ${new Date().toISOString()} ${ctx.process}`;
  try {
    await ctx.writer.patchNamespace({ [key]: note }, version);
    return true;
  } catch (error) {
    if (!isConflict(error)) throw error;
    // Sent again because its answer was lost, it meets its own change.
    return (await readRollout(ctx.client, ctx.settings)).dispatched === note;
  }
}

/** @returns in words, where to, and why no node has taken it when nobody else is there to tell. */
async function dispatch(
  ctx: DetectContext,
  target: Release,
  kind: UpgradeKind,
  nodeCount: number,
): Promise<{ how: string; untaken?: string | undefined }> {
  const { settings, client, cluster, writer } = ctx;
  const request = { target, kind, dryRun: false, stages: stageNames };
  const key = annotationKeys(settings.annotationPrefix).dispatched;
  try {
    if (settings.dispatch.mode === 'job') {
      const ports = { client, cluster, writer, namespace: settings.namespace };
      const { metadata } = await submitLeg(ports, request, newRunId(target), 1);
      return { how: `as Job ${metadata?.name}`, untaken: await untakenLeg(ctx, metadata?.name ?? '') };
    }
    const longest = longestRun(nodeCount, settings);
    const { agentService } = settings.dispatch;
    const job = await dispatchToAgent(agentService, request, longest, ctx.signal);
    return { how: `to the agent service as job ${job}` };
  } catch (error) {
    const mayHaveArrived = !(error instanceof NotDispatchedError) && settings.dispatch.mode !== 'job';
    if (!mayHaveArrived && error instanceof UpgradeError) await writer.patchNamespace({ [key]: null });
    throw error;
  }
}

/** Nobody follows a Job that the detector made: why no node takes it is for the detector to tell (F4). */
async function untakenLeg(ctx: DetectContext, job: string): Promise<string | undefined> {
  const why = await whyNotTaken(ctx, job);
  if (why === undefined) return undefined;
  // Once the Job is removed, the next detection is to dispatch at once; while it is there, that one finds it.
  const { dispatched } = annotationKeys(ctx.settings.annotationPrefix);
  await ctx.writer.patchNamespace({ [dispatched]: null });
  return why;
}

async function whyNotTaken(
  { client, settings, signal }: DetectContext,
  job: string,
): Promise<string | undefined> {
  const { namespace, timing } = settings;
  const { unschedulable } = timing;
  const reason = await whyUntaken({ client, namespace, unschedulable, signal }, job);
  return reason === undefined ? undefined : untakenText(namespace, job, reason);
}
