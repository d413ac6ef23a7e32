import type { AlertCase } from './case.ts';
import { endedJobCases } from './ended-job-cases.ts';
import { apiServerBuild, kubeState, nodeInfo, pushed } from './series.ts';

const execution = (name: string, values: string, labels = {}) =>
  pushed(name, 'k8s-version-upgrade', values, labels);
const detection = (name: string, values: string, labels = {}) =>
  pushed(name, 'k8s-version-check', values, labels);
const outcome = (name: string, values: string) =>
  execution('k8s_upgrade_last_run_outcome', values, { outcome: name });

const inFlight = execution('k8s_upgrade_in_flight', '1x300');
/** One heartbeat every minute. */
const heartbeat = execution('k8s_upgrade_heartbeat_timestamp', '0+60x300');
const fromRun = { job: 'k8s-version-upgrade' };

const pending = (pod: string, values: string) =>
  kubeState('kube_pod_status_phase', { namespace: 'k8s-upgrade', pod, uid: 'u', phase: 'Pending' }, values);

const cronJob = { namespace: 'k8s-upgrade', cronjob: 'k8s-version-check' };
/** One sample an hour, so that eight days need few evaluations. */
const hourly = { interval: '1h' };
const created = kubeState('kube_cronjob_created', cronJob, '0x200');
const scheduled = (values: string) => kubeState('kube_cronjob_status_last_schedule_time', cronJob, values);
const succeeded = (values: string) => kubeState('kube_cronjob_status_last_successful_time', cronJob, values);
const exporter = {
  job: 'kubernetes-service-endpoints',
  instance: '10.244.1.7:8080',
  service: 'prometheus-kube-state-metrics',
};

/**
 * For every alert of the group `Upgrade Pipeline`: cases in which it fires, and near misses in which it does
 * not. A run is stalled after 3600 s.
 */
export const pipelineCases: AlertCase[] = [
  {
    title: 'alive without progress for 70 minutes',
    alert: 'K8sUpgradeStalled',
    input: [inFlight, heartbeat, execution('k8s_upgrade_last_progress_timestamp', '600x300')],
    at: '80m',
    fires: [fromRun],
  },
  {
    title: 'a script that uses its full 45 minutes',
    alert: 'K8sUpgradeStalled',
    input: [inFlight, heartbeat, execution('k8s_upgrade_last_progress_timestamp', '600x54 3300x100')],
    at: '80m',
    fires: [],
  },
  {
    title: 'nothing is in flight',
    alert: 'K8sUpgradeStalled',
    input: [
      execution('k8s_upgrade_in_flight', '0x300'),
      execution('k8s_upgrade_last_progress_timestamp', '600x300'),
    ],
    at: '200m',
    fires: [],
  },
  {
    title: 'the last run failed',
    alert: 'K8sUpgradeFailed',
    input: [outcome('failed', '1x60'), outcome('done', '0x60')],
    at: '5m',
    fires: [{ ...fromRun, outcome: 'failed' }],
  },
  {
    title: 'the last run was blocked, which is not failed (F15)',
    alert: 'K8sUpgradeFailed',
    input: [outcome('failed', '0x60'), outcome('blocked', '1x60')],
    at: '30m',
    fires: [],
  },
  {
    title: 'the last run was blocked',
    alert: 'K8sUpgradeBlocked',
    input: [outcome('blocked', '1x60'), outcome('done', '0x60')],
    at: '20m',
    fires: [{ ...fromRun, outcome: 'blocked' }],
  },
  {
    title: 'the last run was held, which needs no action',
    alert: 'K8sUpgradeBlocked',
    input: [outcome('blocked', '0x60'), outcome('held', '1x60')],
    at: '20m',
    fires: [],
  },
  {
    title: 'in flight, and the last heartbeat is long ago (F7)',
    alert: 'K8sUpgradeLatchWithoutRun',
    input: [inFlight, execution('k8s_upgrade_heartbeat_timestamp', '600x300')],
    at: '60m',
    fires: [fromRun],
  },
  {
    title: 'in flight without any heartbeat',
    alert: 'K8sUpgradeLatchWithoutRun',
    input: [inFlight],
    at: '15m',
    fires: [fromRun],
  },
  {
    title: 'in flight, and the executor is alive',
    alert: 'K8sUpgradeLatchWithoutRun',
    input: [inFlight, heartbeat],
    at: '200m',
    fires: [],
  },
  {
    title: 'an executor was gone for 15 minutes, then its Job started another',
    alert: 'K8sUpgradeLatchWithoutRun',
    input: [inFlight, execution('k8s_upgrade_heartbeat_timestamp', '0+60x10 600x15 1560+60x200')],
    at: '60m',
    fires: [],
  },
  ...endedJobCases,
  {
    title: 'a pod that cannot be scheduled (F4)',
    alert: 'K8sUpgradePodPending',
    input: [pending('k8s-version-upgrade-x7k2p-8v9tz', '1x60')],
    at: '20m',
    fires: [
      {
        ...exporter,
        namespace: 'k8s-upgrade',
        pod: 'k8s-version-upgrade-x7k2p-8v9tz',
        uid: 'u',
        phase: 'Pending',
      },
    ],
  },
  {
    title: 'a pod that was pending and then started',
    alert: 'K8sUpgradePodPending',
    input: [pending('k8s-version-upgrade-x7k2p-8v9tz', '1x10 0x60')],
    at: '20m',
    fires: [],
  },
  {
    title: 'no detection for more than 8 days',
    alert: 'K8sVersionCheckStale',
    input: [created, detection('k8s_version_check_last_run_timestamp', '3600x200')],
    ...hourly,
    at: '195h',
    fires: [{}],
  },
  {
    title: 'a detector that has never run',
    alert: 'K8sVersionCheckStale',
    input: [created],
    ...hourly,
    at: '195h',
    fires: [{}],
  },
  {
    title: 'a detector that is not deployed',
    alert: 'K8sVersionCheckStale',
    input: [],
    ...hourly,
    at: '3h',
    fires: [{}],
  },
  {
    title: 'the last detection is 7 days old',
    alert: 'K8sVersionCheckStale',
    input: [created, detection('k8s_version_check_last_run_timestamp', '3600x200')],
    ...hourly,
    at: '170h',
    fires: [],
  },
  {
    title: 'the Pushgateway has lost the time, and the CronJob has it',
    alert: 'K8sVersionCheckStale',
    input: [
      created,
      detection('k8s_version_check_last_run_timestamp', '600000x168 stale'),
      succeeded('600000x200'),
    ],
    ...hourly,
    at: '195h',
    fires: [],
  },
  {
    title: 'detection reported that it failed',
    alert: 'K8sVersionCheckFailed',
    input: [
      detection('k8s_version_check_outcome', '1x60', { outcome: 'failed' }),
      detection('k8s_version_check_outcome', '0x60', { outcome: 'done' }),
    ],
    at: '35m',
    fires: [{}],
  },
  {
    title: 'detection died before it could report anything (F29)',
    alert: 'K8sVersionCheckFailed',
    input: [scheduled('_x10 600x300'), succeeded('0x300')],
    at: '45m',
    fires: [{}],
  },
  {
    title: 'detection has never succeeded',
    alert: 'K8sVersionCheckFailed',
    input: [scheduled('_x10 600x300')],
    at: '45m',
    fires: [{}],
  },
  {
    title: 'a detection is in progress',
    alert: 'K8sVersionCheckFailed',
    input: [scheduled('_x10 600x300'), succeeded('0x20 1200x300')],
    at: '45m',
    fires: [],
  },
  {
    title: 'detection held a release back',
    alert: 'K8sVersionCheckFailed',
    input: [
      detection('k8s_version_check_outcome', '0x60', { outcome: 'failed' }),
      detection('k8s_version_check_outcome', '1x60', { outcome: 'held' }),
    ],
    at: '35m',
    fires: [],
  },
  {
    title: 'the API server’s version is not scraped (F28)',
    alert: 'K8sVersionSkewUnknown',
    input: [nodeInfo('k8s-node1', 'v1.34.2', '1x60')],
    at: '40m',
    fires: [{}],
  },
  {
    title: 'the kubelets’ versions are not scraped',
    alert: 'K8sVersionSkewUnknown',
    input: [apiServerBuild('v1.34.2', '1x60')],
    at: '40m',
    fires: [{}],
  },
  {
    title: 'both versions are scraped',
    alert: 'K8sVersionSkewUnknown',
    input: [nodeInfo('k8s-node1', 'v1.34.2', '1x60'), apiServerBuild('v1.34.2', '1x60')],
    at: '40m',
    fires: [],
  },
];
