import { z } from 'zod';
import type { Settings } from '../settings/settings.ts';
import { queryPrometheus } from './client.ts';

/** One element of an instant vector. */
export interface Sample {
  /** Label name → value. */
  readonly labels: Readonly<Record<string, string>>;
  /** May be NaN or infinite. */
  readonly value: number;
}

/** Where the gates query metrics. */
export interface MetricsSource {
  /**
   * The current value of a PromQL expression, which must be a vector; empty when nothing matches.
   *
   * @throws UpgradeError when it is unknown: no answer, or not a vector.
   */
  query(promql: string): Promise<Sample[]>;
}

/** The answer of `/api/v1/query`. */
const vectorSchema = z.object({
  /** Anything but `success` is an error. */
  status: z.literal('success'),
  /** The document. */
  data: z.object({
    /** Scalars and strings are errors. */
    resultType: z.literal('vector'),
    /** The vector's elements. */
    result: z.array(
      z.object({
        /** Label name → value. */
        metric: z.record(z.string(), z.string()),
        /** Time in Unix seconds, and the value as text. */
        value: z.tuple([z.number(), z.string()]),
      }),
    ),
  }),
});

/** A source that sends instant queries to Prometheus. */
export function prometheusMetrics(settings: Settings['prometheus'], signal: AbortSignal): MetricsSource {
  return {
    async query(promql) {
      const query = new URLSearchParams({ query: promql });
      const { answer } = await queryPrometheus(settings, 'query', query, vectorSchema, signal);
      return answer.data.result.map(({ metric, value: [, value] }) => ({
        labels: metric,
        value: Number(value),
      }));
    },
  };
}
