/** What the rules depend on. */
export interface AlertOptions {
  /** The pipeline's namespace. */
  readonly namespace: string;
  /** URL of the runbook, to which `#` and the alert's name in lower case are appended. */
  readonly runbook: string;
  /** Longest time in seconds for which a healthy run shows no progress. */
  readonly stalledAfterSeconds: number;
  /** Below this the cluster's pods are not well: ready pods over all pods that should be. */
  readonly minimumPodReadyRatio: number;
  /** Workloads of this cluster whose absence closes the gate. */
  readonly workloads: readonly WatchedWorkload[];
  /** Whether detection runs by itself; a detector that was switched off is not late. */
  readonly detection: boolean;
  /** Longest time in seconds between two detections by their schedule. @default - a week */
  readonly detectionGapSeconds?: number;
}

/** A StatefulSet or Deployment that must have a ready replica. */
export interface WatchedWorkload {
  /** Name of the alert, such as `MysqlStandaloneDown`. */
  readonly alert: string;
  readonly namespace: string;
  readonly kind: 'StatefulSet' | 'Deployment';
  readonly name: string;
}

/**
 * How the usual installations call their scrape jobs: the `prometheus` chart, then the operator's chart. Both name
 * the node of a kubelet differently, too: the first in `instance`, the second in `node`.
 */
export const scrapeJobs = {
  apiServer: 'kubernetes-apiservers|apiserver',
  kubelet: 'kubernetes-nodes|kubelet',
};
