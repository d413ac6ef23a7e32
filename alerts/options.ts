/** The cluster and the settings that the alerts depend on. */
export interface AlertOptions {
  /** The pipeline's namespace. */
  readonly namespace: string;
  /** URL of the runbook, to which `#` and the alert's name in lower case are appended. */
  readonly runbook: string;
  /** Longest time in seconds for which a healthy run may show no progress. */
  readonly stalledAfterSeconds: number;
  /** Ready pods divided by pods that should be ready, 0 to 1. Below this the cluster is not healthy. */
  readonly minimumPodReadyRatio: number;
  /** Workloads of this cluster whose absence closes the gate. */
  readonly workloads: readonly WatchedWorkload[];
  /** Whether detection runs on its schedule; without it no alert on a late detection is deployed. */
  readonly detection: boolean;
  /** Longest time in seconds between two detections by their schedule. @default - a week */
  readonly detectionGapSeconds?: number;
}

/** A StatefulSet or Deployment that must have a ready replica. */
export interface WatchedWorkload {
  /** Name of the alert, such as `MysqlStandaloneDown`. */
  readonly alert: string;
  /** Namespace of the workload. */
  readonly namespace: string;
  /** Kind of the workload. */
  readonly kind: 'StatefulSet' | 'Deployment';
  /** Name of the workload. */
  readonly name: string;
}

/**
 * Names of the scrape jobs in the usual installations: the `prometheus` chart, then the operator's chart. A
 * kubelet's node is in the label `instance` in the first, and in `node` in the second.
 */
export const scrapeJobs = {
  apiServer: 'kubernetes-apiservers|apiserver',
  kubelet: 'kubernetes-nodes|kubelet',
};
