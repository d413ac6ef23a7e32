import type { Outcome } from '../errors.ts';
import { metricJobs, metrics } from '../names.ts';
import { MetricGroup, nowSeconds } from '../report/metrics.ts';
import type { SlackPost } from '../report/slack.ts';
import type { Settings } from '../settings/settings.ts';
import type { Detection } from './detection.ts';

/**
 * Pushes the result of a detection. Replaces the whole group, so that an old target does not stay.
 *
 * @param found undefined for a detection that failed.
 * @throws UpgradeError when the Pushgateway does not accept it.
 */
export async function publishMetrics(
  settings: Settings['pushgateway'],
  outcome: Outcome,
  found?: Detection,
): Promise<void> {
  const group = new MetricGroup(settings, metricJobs.detection);
  for (const { kind, release } of found?.available ?? []) {
    group.set(metrics.available, 1, { kind, running: found?.running ?? '', target: release });
  }
  // Not after a failure: the alert on a detection without a decision must fire for failing detections, too.
  if (found !== undefined) group.set(metrics.detectionLastRun, nowSeconds());
  group.setOutcome(metrics.detectionOutcome, outcome);
  await group.push();
}

/**
 * Sets the gauge of the rollout in flight to 0. A run whose last push failed has left it at 1, and so an
 * alert (F7).
 *
 * @throws UpgradeError when the Pushgateway does not accept it.
 */
export async function publishNoRollout(settings: Settings['pushgateway']): Promise<void> {
  const group = new MetricGroup(settings, metricJobs.execution);
  group.set(metrics.inFlight, 0);
  await group.pushAdd();
}

const icons = { done: ':telescope:', held: ':hourglass:', blocked: ':no_entry:', failed: ':x:' } as const;

/** Posts the message of a detection. Rejects as the post does. */
export const publishSlack = (post: SlackPost, outcome: Outcome, message: string): Promise<void> =>
  post(`${icons[outcome]} Kubernetes version check: ${message}`);
