import { z } from 'zod';
import { InputError, UpgradeError } from '../errors.ts';
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

/** What the server says, whatever it is. */
interface RawAnswer {
  /** The URL, for error messages. */
  readonly url: string;
  /** HTTP status. */
  readonly status: number;
  /** The whole body. */
  readonly text: string;
  /** As in {@link PrometheusAnswer}. */
  readonly clockOffset: number;
}

const setting = 'prometheus.url';

/** Sends a GET request, up to three times. @throws UpgradeError (failed) when there is no answer. */
async function ask(
  settings: Settings['prometheus'],
  path: string,
  query: URLSearchParams,
  signal: AbortSignal,
): Promise<RawAnswer> {
  const url = `${settings.url.replace(/\/$/, '')}/api/v1/${path}?${query}`;
  const { timeout } = settings;
  const { status, text, headers } = await httpRequest({ url, setting, timeout, retries: 2, signal });
  const offset = Date.now() - Date.parse(headers.get('date') ?? '');
  return { url, status, text, clockOffset: Math.abs(offset) > clockPrecision ? offset : 0 };
}

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
  const { url, status, text, clockOffset } = await ask(settings, path, query, signal);
  if (status !== 200) throw new UpgradeError('failed', `${setting}: ${url} answered ${status}`);
  return { answer: parseJson(schema, setting, url, text, 'Prometheus'), clockOffset };
}

/** The answer of `/api/v1/status/runtimeinfo`, as far as it is used. */
const runtimeSchema = z.object({
  /** The document. */
  data: z.object({
    /** RFC 3339. */
    startTime: z.string(),
  }),
});

/**
 * When Prometheus started, epoch milliseconds by this machine's clock; undefined when the server does not
 * serve that, as some that only speak Prometheus' API.
 *
 * @throws UpgradeError (failed) when there is no answer.
 */
export async function startOfPrometheus(
  settings: Settings['prometheus'],
  signal: AbortSignal,
): Promise<number | undefined> {
  const { url, status, text, clockOffset } = await ask(
    settings,
    'status/runtimeinfo',
    new URLSearchParams(),
    signal,
  );
  if (status !== 200) return undefined;
  try {
    const { data } = parseJson(runtimeSchema, setting, url, text, 'Prometheus');
    return timeBy(data.startTime, clockOffset);
  } catch (error) {
    if (error instanceof InputError) return undefined;
    throw error;
  }
}

/**
 * A time of the server by this machine's clock, epoch milliseconds; undefined when there is none. Go writes a
 * time that is not set as one in the year 1.
 *
 * @param text RFC 3339.
 */
export function timeBy(text: string | undefined, clockOffset: number): number | undefined {
  const time = Date.parse(text ?? '');
  return time > 0 ? time + clockOffset : undefined;
}
