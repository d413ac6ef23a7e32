import type { Series } from './series.ts';

/** One course of events, and what an alert has to say to it. */
export interface AlertCase {
  readonly title: string;
  readonly alert: string;
  readonly input: readonly Series[];
  /** When Prometheus is asked, after the beginning. */
  readonly at: string;
  /** Between two samples and two evaluations. @default '1m' */
  readonly interval?: string;
  /** Labels of the firing alerts without name and severity; empty when it must not fire. */
  readonly fires: readonly Readonly<Record<string, string>>[];
}
