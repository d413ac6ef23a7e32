import { z } from 'zod';
import type { Settings } from '../settings/settings.ts';
import { askPrometheus } from './client.ts';

/** One element of an instant vector. */
export interface Sample {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

export interface MetricsSource {
  /**
   * What a PromQL expression is at this moment; empty when nothing matches.
   *
   * @throws when that cannot be told.
   */
  query(promql: string): Promise<Sample[]>;
}

const vectorSchema = z.object({
  status: z.literal('success'),
  data: z.object({
    resultType: z.literal('vector'),
    result: z.array(
      z.object({
        metric: z.record(z.string(), z.string()),
        value: z.tuple([z.number(), z.string()]),
      }),
    ),
  }),
});

/** Instant queries of Prometheus' HTTP API. */
export function prometheusMetrics(settings: Settings['prometheus'], signal: AbortSignal): MetricsSource {
  return {
    async query(promql) {
      const query = new URLSearchParams({ query: promql });
      const { data } = await askPrometheus(settings, 'query', query, vectorSchema, signal);
      return data.result.map(({ metric, value: [, value] }) => ({ labels: metric, value: Number(value) }));
    },
  };
}
