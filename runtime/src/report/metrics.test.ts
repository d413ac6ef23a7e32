import { afterEach, beforeEach, describe, expect, it, test } from 'vitest';
import { Pushgateway } from '../../../test/lab/services/pushgateway.ts';
import { publishMetrics } from '../detect/report.ts';
import { metricJobs, metrics } from '../names.ts';
import { parseRelease } from '../release.ts';
import { testSettings } from '../testing/cluster.ts';
import { rejection } from '../testing/files.ts';
import type { RunEvent } from './events.ts';
import { MetricGroup, MetricsSink, nowSeconds } from './metrics.ts';

let gateway: Pushgateway;
beforeEach(async () => {
  gateway = await new Pushgateway().start();
});
afterEach(() => gateway.stop());

const settings = () => testSettings({ pushgateway: { url: `${gateway.url}/`, timeout: '1s' } }).pushgateway;
/** Metric names and labels that the group holds, without the grouping label. */
const series = () =>
  [metrics.available, metrics.detectionLastRun, metrics.detectionOutcome].flatMap(({ name }) =>
    gateway
      .samples(name)
      .map(
        ({ labels: { job: _, ...labels }, value }) =>
          `${name} ${Object.values(labels).join(' ')} ${value > 1 ? 'time' : value}`,
      ),
  );
const release = (text: string) => parseRelease('test', text);

describe('what a detection pushes', () => {
  const detection = (...available: ['patch' | 'minor', string][]) => ({
    outcome: 'done' as const,
    message: '',
    running: release('1.34.2'),
    available: available.map(([kind, text]) => ({ kind, release: release(text) })),
    news: true,
  });

  it("replaces the group, so that last week's target is gone (PUT)", async () => {
    await publishMetrics(settings(), 'done', detection(['patch', '1.34.5'], ['minor', '1.35.1']));
    await publishMetrics(settings(), 'held', detection(['patch', '1.34.6']));
    expect(series()).toEqual([
      'k8s_upgrade_available patch 1.34.2 1.34.6 1',
      'k8s_version_check_last_run_timestamp  time',
      'k8s_version_check_outcome done 0',
      'k8s_version_check_outcome held 1',
      'k8s_version_check_outcome blocked 0',
      'k8s_version_check_outcome failed 0',
    ]);
    expect(gateway.history.map(({ method, grouping }) => [method, grouping])).toEqual([
      ['PUT', { job: 'k8s-version-check' }],
      ['PUT', { job: 'k8s-version-check' }],
    ]);
  });

  it('omits the time of the last decision after a failure (F29)', async () => {
    await publishMetrics(settings(), 'failed');
    expect(gateway.value(metrics.detectionLastRun.name)).toBeUndefined();
    expect(gateway.value(metrics.detectionOutcome.name, { outcome: 'failed' })).toBe(1);
  });
});

describe('what a run pushes', () => {
  const recent = (name: string) => Math.abs((gateway.value(name) ?? 0) - nowSeconds()) < 5;

  it('reflects the events, with a series for every outcome', async () => {
    const sink = new MetricsSink(settings());
    await sink.handle({ type: 'in-flight', startedAt: 1_700_000_000_000, snapshotTaken: false });
    expect(gateway.value(metrics.inFlight.name)).toBe(1);
    expect(gateway.value(metrics.snapshotTaken.name)).toBe(0);
    expect(gateway.value(metrics.startedAt.name)).toBe(1_700_000_000);
    expect(gateway.samples(metrics.outcome.name)).toEqual([]);
    expect(recent(metrics.lastProgress.name) && recent(metrics.heartbeat.name)).toBe(true);

    await sink.handle({ type: 'in-flight', startedAt: undefined, snapshotTaken: false });
    await sink.handle({ type: 'run-ended', outcome: 'blocked', target: release('1.34.5'), message: '' });
    expect([gateway.value(metrics.inFlight.name), gateway.value(metrics.startedAt.name)]).toEqual([0, 0]);
    expect(
      gateway.samples(metrics.outcome.name).map(({ labels, value }) => `${labels.outcome} ${value}`),
    ).toEqual(['done 0', 'held 0', 'blocked 1', 'failed 0']);
    expect(recent(metrics.lastRun.name)).toBe(true);
  });

  test.each([
    [{ type: 'heartbeat' }, false],
    [{ type: 'waiting', reasons: [], until: '' }, false],
    [{ type: 'stage-started', stage: 'repo', summary: '' }, true],
  ] as [RunEvent, boolean][])('%j sets the heartbeat; it counts as progress: %s', async (event, progress) => {
    await new MetricsSink(settings()).handle(event);
    expect(recent(metrics.heartbeat.name)).toBe(true);
    expect(gateway.value(metrics.lastProgress.name) !== undefined).toBe(progress);
  });

  it('is pushed again after a failure if the value stays after the run', async () => {
    gateway.faults = { status: 500 };
    setTimeout(() => {
      gateway.faults = {};
    }, 300);
    const sink = new MetricsSink(settings());
    await sink.handle({ type: 'in-flight', startedAt: undefined, snapshotTaken: false });
    expect(gateway.value(metrics.inFlight.name)).toBe(0);
  });

  test.each([
    { type: 'script', node: 'a', script: 'b', line: 'c' },
    { type: 'notice', text: 'x' },
    { type: 'planned-action', action: 'x' },
  ] as RunEvent[])('$type is not pushed', async (event) => {
    await new MetricsSink(settings()).handle(event);
    expect(gateway.history).toEqual([]);
  });
});

describe('a group', () => {
  it('pushes only what was set', async () => {
    const group = new MetricGroup(settings(), metricJobs.execution);
    group.set(metrics.inFlight, 0);
    await group.push();
    const [push] = gateway.history;
    expect(push?.body.split('\n').filter((line) => line !== '' && !line.startsWith('#'))).toEqual([
      'k8s_upgrade_in_flight 0',
    ]);
  });

  it('does not accept a metric of another job', () => {
    const group = new MetricGroup(settings(), metricJobs.execution);
    expect(() => group.set(metrics.detectionLastRun, 1)).toThrow('does not belong to k8s-version-upgrade');
  });

  test.each([
    ['refuses it', { status: 400 }],
    ['fails', { status: 500 }],
    ['cuts the connection', { reset: true }],
    ['does not answer in time', { latencyMs: 3_000 }],
  ])('is rejected when the Pushgateway %s', async (_what, faults) => {
    gateway.faults = faults;
    const group = new MetricGroup(settings(), metricJobs.execution);
    expect(await rejection(group.push())).toMatchObject({
      code: 'failed',
      message: expect.stringMatching(/^pushgateway\.url: the Pushgateway did not accept the metrics \(.+\)$/),
    });
  });
});
