import { metrics, objectNames } from '../runtime/src/names.ts';
import { type AlertOptions, scrapeJobs } from './options.ts';
import type { AlertDefinition } from './rule.ts';

/**
 * The group `Upgrade Pipeline`: how the pipeline itself does. Never among the gates: an alert about a run that
 * stopped must not stop the run that would finish it (F7).
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
      summary: 'The upgrade run is alive and makes no progress.',
      description: `No stage and no phase of a node has started or ended for ${Math.round(options.stalledAfterSeconds / 60)} minutes, longer than any of them may take.`,
    },
    {
      alert: 'K8sUpgradeFailed',
      expr: `${metrics.outcome.name}{outcome="failed"} == 1`,
      for: '1m',
      severity: 'critical',
      summary: 'The last upgrade run failed.',
      description:
        'Something went wrong; the run has said what and where in its log and in Slack. The next run resumes.',
    },
    {
      alert: 'K8sUpgradeBlocked',
      expr: `${metrics.outcome.name}{outcome="blocked"} == 1`,
      for: '15m',
      severity: 'warning',
      summary: 'A gate keeps the upgrade from continuing.',
      description: 'The last run ended because a gate was closed. Somebody can open it; then dispatch again.',
    },
  ];
}

/** Half an hour without a heartbeat, whatever holds up one push. */
const heartbeatLostSeconds = 1800;
/** An executor pushes every half minute: after this another run is no reason to wait for what it will say. */
const otherRunAliveSeconds = 600;

function lostRunAlerts({ namespace }: AlertOptions): AlertDefinition[] {
  const job = `namespace="${namespace}",job_name=~"${objectNames.executionCronJob}-.+"`;
  const gaveUp = `kube_job_status_failed{${job},reason=~"BackoffLimitExceeded|DeadlineExceeded"} > 0`;
  // A later run that ended makes it history, for as long as the Job is kept: a push replaces the group, and a restart of
  // the Pushgateway empties it, so the time of the last end is looked for in the past. A run at work will have its end.
  const unsaid = (failed: string): string => `max(kube_job_status_start_time{${job}}
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
      summary: 'An upgrade is marked in flight, and no executor is alive.',
      description: 'The rollout stopped half way. Dispatch again and it resumes, or clear its state.',
    },
    {
      alert: 'K8sUpgradeCrashed',
      // An executor that dies before it can push leaves only its Job behind (F29).
      expr: unsaid(gaveUp),
      for: '1m',
      severity: 'critical',
      summary: 'The executor crashed until its Job gave up.',
      description: 'It ended without an outcome and reported none. Its pods’ logs say where.',
    },
    {
      alert: 'K8sUpgradeUnreported',
      // By the condition: kube-state-metrics has no reason for a Job that its podFailurePolicy failed.
      expr: unsaid(`kube_job_failed{${job},condition="true"} == 1 unless on (namespace, job_name) ${gaveUp}`),
      for: '5m',
      severity: 'warning',
      summary: 'An execution Job failed, and its outcome did not reach Prometheus.',
      description:
        'It ended before it began to report (bad settings, a missing key, an API error, a lease held by a run that is over, a dry run with a closed gate), or the Pushgateway did not take its outcome. Its log says which.',
    },
    {
      alert: 'K8sUpgradePodPending',
      expr: `kube_pod_status_phase{namespace="${namespace}",phase="Pending",
        pod=~"(${objectNames.executionCronJob}|${objectNames.detectionCronJob})-.+"} == 1`,
      for: '15m',
      severity: 'warning',
      summary: 'Pod {{ $labels.pod }} of the upgrade pipeline does not start.',
      description:
        'No node takes it, or its image or Secret is missing; `kubectl describe pod` has the reason.',
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
      // The Pushgateway forgets when it restarts; the CronJob's own times then stand in.
      expr: `time() - max(${metrics.detectionLastRun.name}
          or kube_cronjob_status_last_successful_time{${cronJob}}
          or kube_cronjob_created{${cronJob}}) > ${stale}
        or (absent(${metrics.detectionLastRun.name}) and on () absent(kube_cronjob_created{${cronJob}}))`,
      for: '1h',
      severity: 'warning',
      summary: `Nobody has looked for a new Kubernetes release for ${Math.floor(stale / daySeconds)} days.`,
      description:
        'Detection is a day later than its schedule allows; it is suspended, gone, or fails before it can say so.',
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
        'The last look for a new release did not end well. “No upgrade” is not known until it does (F12).',
    },
  ];
}

const skewUnknown: AlertDefinition = {
  alert: 'K8sVersionSkewUnknown',
  // The skew alert can only fire on series that somebody scrapes (F28).
  expr: `absent(kube_node_info) or absent(kubernetes_build_info{job=~"${scrapeJobs.apiServer}"})`,
  for: '30m',
  severity: 'warning',
  summary: 'Kubernetes version skew cannot be seen.',
  description: 'The kubelets’ or the API server’s version is not scraped, so K8sVersionSkew cannot fire.',
};
