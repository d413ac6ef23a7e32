import { metrics, objectNames } from '../runtime/src/names.ts';
import { type AlertOptions, scrapeJobs } from './options.ts';
import type { AlertDefinition } from './rule.ts';

/**
 * The group `Upgrade Pipeline`: alerts about the pipeline itself. They never gate a rollout: an alert about a
 * run that stopped must not stop the run that would finish it (F7).
 */
export function pipelineAlerts(options: AlertOptions): AlertDefinition[] {
  return [
    ...runAlerts(options),
    ...lostRunAlerts(options),
    ...(options.detection ? detectionAlerts(options) : []),
    skewUnknown,
  ];
}

function runAlerts(options: AlertOptions): AlertDefinition[] {
  return [
    {
      alert: 'K8sUpgradeStalled',
      expr: `${metrics.inFlight.name} == 1
        and on () time() - ${metrics.lastProgress.name} > ${options.stalledAfterSeconds}
        and on () time() - ${metrics.heartbeat.name} < ${heartbeatLostSeconds}`,
      for: '5m',
      severity: 'critical',
      summary: 'The upgrade run is alive but makes no progress.',
      description: `No stage and no phase of a node has started or ended for ${Math.round(options.stalledAfterSeconds / 60)} minutes, longer than any of them may take.`,
    },
    {
      alert: 'K8sUpgradeFailed',
      expr: `${metrics.outcome.name}{outcome="failed"} == 1`,
      for: '1m',
      severity: 'critical',
      summary: 'The last upgrade run failed.',
      description:
        'Something went wrong; the run reported it in its log and in Slack. The next run picks up where it left off.',
    },
    {
      alert: 'K8sUpgradeBlocked',
      expr: `${metrics.outcome.name}{outcome="blocked"} == 1`,
      for: '15m',
      severity: 'warning',
      summary: 'A gate keeps the upgrade from continuing.',
      description:
        'The last run ended because a gate was closed. Resolve what closes it, then dispatch again.',
    },
  ];
}

/** After half an hour without a heartbeat the executor counts as gone: a slow push takes less. */
const heartbeatLostSeconds = 1800;
/**
 * An executor pushes every 30 seconds. When it has not pushed for this long, a failed Job is reported anyway.
 */
const otherRunAliveSeconds = 600;

function lostRunAlerts({ namespace }: AlertOptions): AlertDefinition[] {
  const job = `namespace="${namespace}",job_name=~"${objectNames.executionCronJob}-.+"`;
  const gaveUp = `kube_job_status_failed{${job},reason=~"BackoffLimitExceeded|DeadlineExceeded"} > 0`;
  // A failed Job no longer counts once a later run has ended. The Job is kept for days, but each push
  // replaces the metric and a restart of the Pushgateway deletes it: hence the maximum over the past. While
  // another run is in progress, nothing fires.
  const unreported = (failed: string): string => `max(kube_job_status_start_time{${job}}
      and on (namespace, job_name) (${failed}))
    > (max(max_over_time(${metrics.lastRun.name}[8d])) or vector(0))
    unless on () time() - max(${metrics.heartbeat.name}) < ${otherRunAliveSeconds}`;
  return [
    {
      alert: 'K8sUpgradeLatchWithoutRun',
      expr: `${metrics.inFlight.name} == 1
        unless on () time() - ${metrics.heartbeat.name} < ${heartbeatLostSeconds}`,
      for: '10m',
      severity: 'critical',
      summary: 'An upgrade is in flight, but no executor is alive.',
      description: 'The rollout stopped unfinished. Dispatch it again to resume it, or clear its state.',
    },
    {
      alert: 'K8sUpgradeCrashed',
      // An executor that dies before it can push leaves only its Job behind (F29).
      expr: unreported(gaveUp),
      for: '1m',
      severity: 'critical',
      summary: 'The executor crashed until its Job gave up.',
      description: 'It ended without an outcome, so it reported none. The logs of its pods show where.',
    },
    {
      alert: 'K8sUpgradeUnreported',
      // Uses the condition: kube-state-metrics has no reason for a Job that its podFailurePolicy failed.
      expr: unreported(
        `kube_job_failed{${job},condition="true"} == 1 unless on (namespace, job_name) ${gaveUp}`,
      ),
      for: '5m',
      severity: 'warning',
      summary: 'An execution Job failed, and its outcome did not reach Prometheus.',
      description:
        'It ended before it started to report (bad settings, a missing key, an API error, a lease held by a run that is over, a dry run with a closed gate), or its push to the Pushgateway failed. Its log has the reason.',
    },
    {
      alert: 'K8sUpgradePodPending',
      expr: `kube_pod_status_phase{namespace="${namespace}",phase="Pending",
        pod=~"(${objectNames.executionCronJob}|${objectNames.detectionCronJob})-.+"} == 1`,
      for: '15m',
      severity: 'warning',
      summary: 'Pod {{ $labels.pod }} of the upgrade pipeline does not start.',
      description:
        'It cannot be scheduled, or its image or Secret is missing; `kubectl describe pod` shows the reason.',
    },
  ];
}

const daySeconds = 86_400;

function detectionAlerts({ namespace, detectionGapSeconds }: AlertOptions): AlertDefinition[] {
  const stale = (detectionGapSeconds ?? 7 * daySeconds) + daySeconds;
  const cronJob = `namespace="${namespace}",cronjob="${objectNames.detectionCronJob}"`;
  return [
    {
      alert: 'K8sVersionCheckStale',
      // The Pushgateway loses its metrics when it restarts; the CronJob's own times are used then.
      expr: `time() - max(${metrics.detectionLastRun.name}
          or kube_cronjob_status_last_successful_time{${cronJob}}
          or kube_cronjob_created{${cronJob}}) > ${stale}
        or (absent(${metrics.detectionLastRun.name}) and on () absent(kube_cronjob_created{${cronJob}}))`,
      for: '1h',
      severity: 'warning',
      summary: `The pipeline has not looked for a new Kubernetes release for ${Math.floor(stale / daySeconds)} days.`,
      description:
        'Detection is a day later than its schedule allows: it is suspended or deleted, or fails before it can report.',
    },
    {
      alert: 'K8sVersionCheckFailed',
      expr: `max(${metrics.detectionOutcome.name}{outcome="failed"}) == 1
        or max(kube_cronjob_status_last_schedule_time{${cronJob}})
          > (max(kube_cronjob_status_last_successful_time{${cronJob}}) or vector(0))`,
      for: '30m',
      severity: 'warning',
      summary: 'Detection failed.',
      description:
        'The last detection did not succeed. Until one does, nobody knows whether there is an upgrade (F12).',
    },
  ];
}

const skewUnknown: AlertDefinition = {
  alert: 'K8sVersionSkewUnknown',
  // The skew alert needs both series to be scraped (F28).
  expr: `absent(kube_node_info) or absent(kubernetes_build_info{job=~"${scrapeJobs.apiServer}"})`,
  for: '30m',
  severity: 'warning',
  summary: 'Kubernetes version skew is unknown.',
  description: 'The kubelets’ or the API server’s version is not scraped, so K8sVersionSkew cannot fire.',
};
