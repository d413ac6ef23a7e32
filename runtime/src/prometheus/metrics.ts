import { z } from 'zod';
import { UpgradeError } from '../errors.ts';
import { httpRequest, parseJson } from '../http.ts';
import type { Settings } from '../settings/settings.ts';

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
      const url = `${settings.url.replace(/\/$/, '')}/api/v1/query?${new URLSearchParams({ query: promql })}`;
      const { timeout } = settings;
      const answer = await httpRequest({ url, setting: 'prometheus.url', timeout, retries: 2, signal });
      if (answer.status !== 200)
        throw new UpgradeError('failed', `prometheus.url: ${url} answered ${answer.status}`);
      const { data } = parseJson(vectorSchema, 'prometheus.url', url, answer.text, 'Prometheus');
      return data.result.map(({ metric, value: [, value] }) => ({ labels: metric, value: Number(value) }));
    },
  };
}
