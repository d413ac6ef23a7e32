import type { Logger } from 'pino';
import { KubernetesClient } from '../cluster/client.ts';
import { Lease } from '../cluster/lease.ts';
import type { ClusterReader } from '../cluster/reader.ts';
import { clusterWriter } from '../cluster/writer.ts';
import { drain } from '../drain/drain.ts';
import { nextJobStarter, type StartNextJob, successorOf } from '../jobs/next-job.ts';
import { type NodeCheck, nodeCheck } from '../jobs/node-check.ts';
import { assertScheduled } from '../jobs/unscheduled.ts';
import { PrometheusAlerts } from '../prometheus/alerts.ts';
import { prometheusMetrics } from '../prometheus/metrics.ts';
import { PackageRepository } from '../releases/repository.ts';
import { Report, type Sink } from '../report/events.ts';
import { logSink } from '../report/log.ts';
import { MetricsSink } from '../report/metrics.ts';
import { nodeEventSink } from '../report/node-events.ts';
import { slackPost, slackSink } from '../report/slack.ts';
import { namespaceJournal } from '../rollout/journal.ts';
import { ConfigMapKillSwitch } from '../rollout/kill-switch.ts';
import { longestRun } from '../rollout/longest-run.ts';
import type { UpgradeRequest } from '../rollout/request.ts';
import type { Settings } from '../settings/settings.ts';
import { openNodeShell } from '../ssh/open-shell.ts';
import { etcdSnapshots } from '../ssh/snapshots.ts';
import { within } from '../wait.ts';
import { checkRequest } from './check-request.ts';
import type { Context } from './context.ts';
import { dryRunPorts } from './dry-run.ts';
import { handedOff, type RunResult, runUpgrade } from './run.ts';

/** What one executor process works on and with. */
export interface ExecuteOptions {
  /** The settings of the run. */
  readonly settings: Settings;
  /** What to upgrade to, with which stages, and whether it is a dry-run. */
  readonly request: UpgradeRequest;
  /** The API. A real run guards its writes with the lease. */
  readonly client: KubernetesClient;
  /** Reads the cluster through the same client. */
  readonly cluster: ClusterReader;
  /** Receives every event. */
  readonly logger: Logger;
  /** The same for every Job of a run. */
  readonly runId: string;
  /** Names this process on the lease: the pod's name, or host and pid. */
  readonly processName: string;
  /** The number of this Job in its run, from 1. */
  readonly jobNumber: number;
  /** The cluster's node that this process runs on; undefined outside the cluster. */
  readonly ownNode: string | undefined;
  /** Aborted to stop the run at the next safe point. */
  readonly stop: AbortSignal;
}

/** The ports that a run and a dry-run share. */
async function openPorts(options: ExecuteOptions, mayWrite: () => Promise<void>, emit: Report['emit']) {
  const { settings, request, client, cluster, stop: signal } = options;
  const { namespace, annotationPrefix } = settings;
  const announce = (action: string) => emit({ type: 'planned-action', action });
  const shell = await openNodeShell(client, settings, {
    readOnly: request.dryRun,
    signal,
    mayWrite,
    onNotice: (text) => emit({ type: 'notice', text }),
    onLine: (node, script, line) => emit({ type: 'script', node, script, line }),
  });
  const writer = clusterWriter(client, namespace, request.dryRun ? announce : undefined);
  const journal = namespaceJournal(client, writer, namespace, annotationPrefix);
  const alerts = new PrometheusAlerts(settings.prometheus, signal);
  const metrics = prometheusMetrics(settings.prometheus, signal);
  const repository = new PackageRepository(settings.packages, signal);
  const killSwitch = new ConfigMapKillSwitch(client, namespace);
  return { client, cluster, writer, shell, journal, killSwitch, alerts, metrics, repository, announce };
}

type Ports = Awaited<ReturnType<typeof openPorts>>;

/**
 * Opens the context of a run. In a dry-run every writing port only announces what it would do.
 *
 * @param mayWrite called before each change on a node; throws to forbid it. @default allows every change
 * @throws InputError when the SSH key cannot be used.
 */
export async function openContext(
  options: ExecuteOptions,
  report: Report,
  mayWrite: () => Promise<void> = async () => {},
): Promise<Context> {
  const ports = await openPorts(options, mayWrite, (event) => report.emit(event));
  const { settings, request } = options;
  const check = nodeCheckOf(options, ports, (text) => report.emit({ type: 'notice', text }));
  const shared = { ...ports, settings, request, report, nodeCheck: check, signal: options.stop };
  if (request.dryRun) {
    const dry = dryRunPorts({ ...ports, drainSettings: settings.drain }, request.target, ports.announce);
    // Nothing is drained, so this process need not move to another node.
    return { ...shared, ...dry, startNextJob: nextJob(options, ports), ownNode: undefined };
  }
  return {
    ...shared,
    snapshots: etcdSnapshots(ports.shell, settings.snapshot, settings.timing.script),
    drain: (node, cordon, onNotice) =>
      drain(ports.client, ports.writer, node.name, {
        ...settings.drain,
        signal: options.stop,
        cordon,
        onNotice,
      }),
    startNextJob: nextJob(options, ports),
    ownNode: options.ownNode,
  };
}

function nodeCheckOf(
  { settings, request, stop: signal }: ExecuteOptions,
  { client, writer }: Ports,
  onNotice: (text: string) => void,
): NodeCheck {
  const { namespace, timing } = settings;
  const { unschedulable, nodeReady } = timing;
  const timeLimit = unschedulable + nodeReady;
  const { dryRun } = request;
  return nodeCheck({ client, writer, namespace, dryRun, unschedulable, timeLimit, signal, onNotice });
}

function nextJob(
  { settings, request, runId, jobNumber, stop: signal }: ExecuteOptions,
  ports: Ports,
): StartNextJob {
  const { namespace, timing } = settings;
  const { unschedulable } = timing;
  return nextJobStarter({ ...ports, namespace }, request, runId, jobNumber, (job) =>
    assertScheduled({ client: ports.client, namespace, unschedulable, signal }, job),
  );
}

/**
 * One executor process from start to end: acquires the lease, runs the stages, reports, releases the lease.
 * May be repeated after any interruption: it picks up where the cluster is.
 *
 * @throws UpgradeError (badInput) with nothing changed; LeaseHeldError when another run holds the lease; the
 *   reason of the stop signal when it is aborted.
 */
export async function execute(options: ExecuteOptions): Promise<RunResult> {
  const { settings, request, logger } = options;
  const failedSink = (sink: string, error: unknown) =>
    logger.warn(`${sink}: ${error instanceof Error ? error.message : String(error)}`);
  const post = slackPost(settings.slack);
  const report = new Report(failedSink);
  report.add(logSink(logger));
  if (request.dryRun) {
    if (post) report.add(slackSink(post, '[dry-run] '));
    return runUpgrade(await openContext(options, report)).finally(() => report.flush());
  }
  const lease = leaseFor(options);
  const ctx = await openContext(options, report, () => lease.assertHeld());
  const { nodes } = await checkRequest(ctx);
  const continued = await continuedByNextJob(ctx, options);
  if (continued !== undefined) return continued;
  // The previous Job may still be sending messages to a slow Slack, and releases the lease only after that.
  const wait = within(longestRun(nodes.length, settings), options.stop);
  const interrupted = await lease.acquire(wait, (text) => report.emit({ type: 'notice', text }));
  ctx.client.guardWrites(() => lease.assertHeld());
  const metrics = new MetricsSink(settings.pushgateway);
  for (const sink of [metrics, nodeEventSink(ctx.writer), ...(post ? [slackSink(post)] : [])]) {
    report.add(whileLeaseIsHeld(sink, lease));
  }
  const heartbeat = setInterval(() => report.emit({ type: 'heartbeat' }), 30_000);
  try {
    return await runUpgrade(ctx, interrupted);
  } finally {
    clearInterval(heartbeat);
    await report.flush();
    await lease.release();
  }
}

/** Ends the run here if this Job had submitted the next one before it was killed. */
async function continuedByNextJob(ctx: Context, options: ExecuteOptions): Promise<RunResult | undefined> {
  if (ctx.ownNode === undefined) return undefined;
  const job = await successorOf(ctx.client, options.settings.namespace, options.runId, options.jobNumber);
  if (job === undefined) return undefined;
  ctx.report.emit({ type: 'handed-off', job, why: 'this Job submitted it before it was interrupted' });
  await ctx.report.flush();
  return handedOff;
}

function leaseFor({ settings, client, runId, processName }: ExecuteOptions): Lease {
  // A separate client: the other one checks this lease before each write.
  const separate = new KubernetesClient(client.kubeConfig, client.options);
  return new Lease(separate, settings.namespace, { runId, processName }, settings.timing.lease);
}

/** Drops events once this process has lost its lease: another one reports from then on. */
function whileLeaseIsHeld(sink: Sink, lease: Lease): Sink {
  return {
    name: sink.name,
    async handle(event) {
      if (!(await lease.isLost())) await sink.handle(event);
    },
  };
}
