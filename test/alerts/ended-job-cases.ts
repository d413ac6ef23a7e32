import type { AlertCase } from './case.ts';
import { kubeState, pushed, type Series } from './series.ts';

const execution = (name: string, values: string) => pushed(name, 'k8s-version-upgrade', values);
const heartbeat = (values: string) => execution('k8s_upgrade_heartbeat_timestamp', values);
const job = { namespace: 'k8s-upgrade', job_name: 'k8s-version-upgrade-x7k2p' };
const jobStart = kubeState('kube_job_status_start_time', job, '600x300');
/**
 * What kube-state-metrics exports for the Job from minute 20 on. `reason` is empty for a Job that its
 * podFailurePolicy failed: kube-state-metrics has names for three reasons only.
 */
const jobFailed = (reason: string): Series[] => [
  ...['BackoffLimitExceeded', 'DeadlineExceeded', 'Evicted'].map((known) =>
    kubeState('kube_job_status_failed', { ...job, reason: known }, `_x20 ${known === reason ? 1 : 0}x300`),
  ),
  ...(reason === '' ? [kubeState('kube_job_status_failed', { ...job, reason }, '_x20 1x300')] : []),
  ...['true', 'false', 'unknown'].map((condition) =>
    kubeState('kube_job_failed', { ...job, condition }, `_x20 ${condition === 'true' ? 1 : 0}x300`),
  ),
];
/** A pod failed, and its Job retries. */
const jobRetried = [kubeState('kube_job_status_failed', { ...job, reason: '' }, '_x20 1x300')];
const lastRun = (values: string) => execution('k8s_upgrade_last_run_timestamp', values);

/** A Job started at minute 10 and failed at minute 20, for different reasons. */
export const endedJobCases: AlertCase[] = [
  {
    title: 'the executor crashed before it could push anything, until its Job gave up (F29)',
    alert: 'K8sUpgradeCrashed',
    input: [jobStart, ...jobFailed('BackoffLimitExceeded')],
    at: '30m',
    fires: [{}],
  },
  {
    title: 'a later run ended with an outcome',
    alert: 'K8sUpgradeCrashed',
    input: [jobStart, ...jobFailed('BackoffLimitExceeded'), lastRun('_x25 1500x200')],
    at: '30m',
    fires: [],
  },
  {
    title:
      'a later run ended, and the next one is in flight, whose pushes have replaced the time of that end',
    alert: 'K8sUpgradeCrashed',
    input: [
      jobStart,
      ...jobFailed('BackoffLimitExceeded'),
      lastRun('_x25 1500x10 stale'),
      execution('k8s_upgrade_in_flight', '_x40 1x200'),
      heartbeat('_x25 1500x10 stale _x4 2400+60x200'),
    ],
    at: '60m',
    fires: [],
  },
  {
    title: 'a later run ended, and the Pushgateway has lost its metrics',
    alert: 'K8sUpgradeCrashed',
    input: [jobStart, ...jobFailed('BackoffLimitExceeded'), lastRun('_x25 1500x10 stale')],
    at: '200m',
    fires: [],
  },
  {
    title: 'the next run is already in progress',
    alert: 'K8sUpgradeCrashed',
    input: [jobStart, ...jobFailed('BackoffLimitExceeded'), heartbeat('_x22 1320+60x200')],
    at: '30m',
    fires: [],
  },
  {
    title: 'the next run has stopped sending heartbeats, too',
    alert: 'K8sUpgradeCrashed',
    input: [jobStart, ...jobFailed('BackoffLimitExceeded'), heartbeat('_x22 1320x200')],
    at: '40m',
    fires: [{}],
  },
  {
    title: 'a Job ended as failed, blocked or with bad input, which is no crash',
    alert: 'K8sUpgradeCrashed',
    input: [jobStart, ...jobFailed('')],
    at: '30m',
    fires: [],
  },
  {
    title: 'a Job ended before it could report anything',
    alert: 'K8sUpgradeUnreported',
    input: [jobStart, ...jobFailed('')],
    at: '30m',
    fires: [{}],
  },
  {
    title: 'the Pushgateway has the start of the run and not its end',
    alert: 'K8sUpgradeUnreported',
    input: [jobStart, ...jobFailed(''), lastRun('300x12 stale'), heartbeat('_x10 600+30x10')],
    at: '40m',
    fires: [{}],
  },
  {
    title: 'the outcome was pushed, for which there are other alerts',
    alert: 'K8sUpgradeUnreported',
    input: [jobStart, ...jobFailed(''), lastRun('_x19 1140x200')],
    at: '30m',
    fires: [],
  },
  {
    title: 'the outcome was pushed, and the Pushgateway has lost it since',
    alert: 'K8sUpgradeUnreported',
    input: [jobStart, ...jobFailed(''), lastRun('_x19 1140x10 stale')],
    at: '200m',
    fires: [],
  },
  {
    title: 'a run was submitted during another one, which holds the Lease',
    alert: 'K8sUpgradeUnreported',
    input: [jobStart, ...jobFailed(''), heartbeat('0+60x300')],
    at: '120m',
    fires: [],
  },
  {
    title: 'a run was submitted during another one, which has ended since',
    alert: 'K8sUpgradeUnreported',
    input: [jobStart, ...jobFailed(''), heartbeat('0+60x90 5400x200'), lastRun('_x90 5400x200')],
    at: '200m',
    fires: [],
  },
  {
    title: 'the executor crashed until its Job gave up, for which there is another alert',
    alert: 'K8sUpgradeUnreported',
    input: [jobStart, ...jobFailed('BackoffLimitExceeded')],
    at: '40m',
    fires: [],
  },
  {
    title: 'a pod failed, and its Job retries',
    alert: 'K8sUpgradeUnreported',
    input: [jobStart, ...jobRetried],
    at: '40m',
    fires: [],
  },
];
