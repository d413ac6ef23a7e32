import pRetry from 'p-retry';
import { Gauge, Pushgateway, Registry } from 'prom-client';
import { type Outcome, outcomes, UpgradeError } from '../errors.ts';
import { type Metric, metricJobs, metrics } from '../names.ts';
import type { Settings } from '../settings/settings.ts';
import type { RunEvent, Sink } from './events.ts';

/** The gauges of one Pushgateway group. `push` replaces the group, so no stale label set is left. */
export class MetricGroup {
  readonly #registry = new Registry();
  readonly #gauges = new Map<string, Gauge>();
  readonly #gateway: Pushgateway<'text/plain; version=0.0.4; charset=utf-8'>;
  readonly #job: string;

  constructor(settings: Settings['pushgateway'], job: Metric['job']) {
    this.#job = job;
    this.#gateway = new Pushgateway(
      settings.url.replace(/\/$/, ''),
      { timeout: settings.timeout },
      this.#registry,
    );
    for (const metric of Object.values<Metric>(metrics).filter((m) => m.job === job)) {
      const gauge = new Gauge({
        name: metric.name,
        help: metric.help,
        labelNames: [...metric.labels],
        registers: [this.#registry],
      });
      // A gauge without labels starts at 0, but only values that were set must be pushed.
      if (metric.labels.length === 0) gauge.remove();
      this.#gauges.set(metric.name, gauge);
    }
  }

  /** Sets a value for the next push. @throws Error for a metric of another group. */
  set(metric: Metric, value: number, labels: Record<string, string> = {}): void {
    const gauge = this.#gauges.get(metric.name);
    if (gauge === undefined) throw new Error(`${metric.name} does not belong to ${this.#job}`);
    gauge.set(labels, value);
  }

  /** Sets 1 for this outcome and 0 for the others, so that alerts always see every series. */
  setOutcome(metric: Metric, outcome: Outcome): void {
    for (const each of outcomes) this.set(metric, each === outcome ? 1 : 0, { outcome: each });
  }

  /** Replaces the group. @throws UpgradeError when the Pushgateway does not accept it. */
  push(): Promise<void> {
    return this.#send(() => this.#gateway.push({ jobName: this.#job }));
  }

  /**
   * Pushes the values that were set and leaves the rest of the group unchanged.
   *
   * @throws UpgradeError as `push` does.
   */
  pushAdd(): Promise<void> {
    return this.#send(() => this.#gateway.pushAdd({ jobName: this.#job }));
  }

  async #send(request: () => Promise<unknown>): Promise<void> {
    try {
      await request();
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      throw new UpgradeError(
        'failed',
        `pushgateway.url: the Pushgateway did not accept the metrics (${why})`,
      );
    }
  }
}

/** The current time in Unix seconds, as timestamps are pushed. */
export const nowSeconds = (): number => Date.now() / 1000;

/** Pushes the metrics of a run at every transition and with every heartbeat. */
export class MetricsSink implements Sink {
  readonly name = 'metrics';
  readonly #group: MetricGroup;

  constructor(settings: Settings['pushgateway']) {
    this.#group = new MetricGroup(settings, metricJobs.execution);
  }

  async handle(event: RunEvent): Promise<void> {
    switch (event.type) {
      case 'script':
      case 'notice':
      case 'planned-action':
        return;
      case 'in-flight':
        this.#group.set(metrics.inFlight, event.startedAt === undefined ? 0 : 1);
        this.#group.set(metrics.startedAt, (event.startedAt ?? 0) / 1000);
        this.#group.set(metrics.snapshotTaken, event.snapshotTaken ? 1 : 0);
        break;
      case 'run-ended':
        this.#group.setOutcome(metrics.outcome, event.outcome);
        this.#group.set(metrics.lastRun, nowSeconds());
        break;
    }
    if (event.type !== 'waiting' && event.type !== 'heartbeat')
      this.#group.set(metrics.lastProgress, nowSeconds());
    this.#group.set(metrics.heartbeat, nowSeconds());
    // Retried: these values stay after the run, and a gauge left at 1 would fire alerts until the next.
    const insist = event.type === 'in-flight' || event.type === 'run-ended';
    await pRetry(() => this.#group.push(), { retries: insist ? 3 : 0, minTimeout: 500 });
  }
}
