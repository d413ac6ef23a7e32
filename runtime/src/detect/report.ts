import type { Outcome } from '../errors.ts';
import { metricJobs, metrics } from '../names.ts';
import { MetricGroup, nowSeconds } from '../report/metrics.ts';
import type { SlackPost } from '../report/slack.ts';
import type { Settings } from '../settings/settings.ts';
import type { Detection } from './detection.ts';

/** Pushes what a detection found. The whole group is replaced, so that an old target does not stay. */
export async function publishMetrics(
  settings: Settings['pushgateway'],
  outcome: Outcome,
  found?: Detection,
): Promise<void> {
  const group = new MetricGroup(settings, metricJobs.detection);
  for (const { kind, release } of found?.available ?? []) {
    group.set(metrics.available, 1, { kind, running: found?.running ?? '', target: release });
  }
  // A detection that failed has not come to a decision: the watchdog for a silent one is to hear of it too.
  if (found !== undefined) group.set(metrics.detectionLastRun, nowSeconds());
  group.setOutcome(metrics.detectionOutcome, outcome);
  await group.push();
}

/**
 * No rollout is in flight: the gauge says so, too. A run whose last push nobody took has left it at 1, and an alert with it (F7).
 */
export async function publishNoRollout(settings: Settings['pushgateway']): Promise<void> {
  const group = new MetricGroup(settings, metricJobs.execution);
  group.set(metrics.inFlight, 0);
  await group.pushAdd();
}

const icons = { done: ':telescope:', held: ':hourglass:', blocked: ':no_entry:', failed: ':x:' } as const;

export const publishSlack = (post: SlackPost, outcome: Outcome, message: string): Promise<void> =>
  post(`${icons[outcome]} Kubernetes version check: ${message}`);
