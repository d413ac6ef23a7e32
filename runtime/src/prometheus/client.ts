import type { z } from 'zod';
import { UpgradeError } from '../errors.ts';
import { httpRequest, parseJson } from '../http.ts';
import type { Settings } from '../settings/settings.ts';

/**
 * Sends a GET request to Prometheus' HTTP API, up to three times.
 *
 * @param path below `/api/v1/`.
 * @throws UpgradeError (failed) when there is no answer, or none with status 200; InputError when the server
 *   is not Prometheus.
 */
export async function queryPrometheus<S extends z.ZodType>(
  settings: Settings['prometheus'],
  path: string,
  query: URLSearchParams,
  schema: S,
  signal: AbortSignal,
): Promise<z.output<S>> {
  const url = `${settings.url.replace(/\/$/, '')}/api/v1/${path}?${query}`;
  const setting = 'prometheus.url';
  const { timeout } = settings;
  const { status, text } = await httpRequest({ url, setting, timeout, retries: 2, signal });
  if (status !== 200) throw new UpgradeError('failed', `${setting}: ${url} answered ${status}`);
  return parseJson(schema, setting, url, text, 'Prometheus');
}
