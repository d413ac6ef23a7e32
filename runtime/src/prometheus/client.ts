import type { z } from 'zod';
import { UpgradeError } from '../errors.ts';
import { httpRequest, parseJson } from '../http.ts';
import type { Settings } from '../settings/settings.ts';

/** An answer of Prometheus. */
interface PrometheusAnswer<T> {
  /** The document. */
  readonly answer: T;
  /** What to add to a time of the server to get the same time by this machine's clock, milliseconds. */
  readonly clockOffset: number;
}

/** The header Date has whole seconds, and the answer takes a while: less than this is no difference. */
const clockPrecision = 2_000;

/**
 * Sends a GET request to Prometheus' HTTP API, up to three times.
 *
 * @param path below `/api/v1/`.
 * @returns also how far the server's clock is off: an alert's age must not depend on this machine's clock.
 * @throws UpgradeError (failed) when there is no answer, or none with status 200; InputError when the server
 *   is not Prometheus.
 */
export async function queryPrometheus<S extends z.ZodType>(
  settings: Settings['prometheus'],
  path: string,
  query: URLSearchParams,
  schema: S,
  signal: AbortSignal,
): Promise<PrometheusAnswer<z.output<S>>> {
  const url = `${settings.url.replace(/\/$/, '')}/api/v1/${path}?${query}`;
  const setting = 'prometheus.url';
  const { timeout } = settings;
  const { status, text, headers } = await httpRequest({ url, setting, timeout, retries: 2, signal });
  if (status !== 200) throw new UpgradeError('failed', `${setting}: ${url} answered ${status}`);
  const offset = Date.now() - Date.parse(headers.get('date') ?? '');
  return {
    answer: parseJson(schema, setting, url, text, 'Prometheus'),
    clockOffset: Math.abs(offset) > clockPrecision ? offset : 0,
  };
}
