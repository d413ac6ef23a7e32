import type { Series } from './series.ts';

/** A course of events, and whether an alert fires. */
export interface AlertCase {
  /** What happens, for the name of the test. */
  readonly title: string;
  /** Name of the alert. */
  readonly alert: string;
  /** The series that Prometheus has scraped. */
  readonly input: readonly Series[];
  /** When the alert is evaluated, as a Prometheus duration after the first sample. */
  readonly at: string;
  /** Between two samples and two evaluations. @default '1m' */
  readonly interval?: string;
  /** Labels of the firing alerts without name and severity; empty when it must not fire. */
  readonly fires: readonly Readonly<Record<string, string>>[];
}
