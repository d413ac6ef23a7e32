import pRetry, { AbortError } from 'p-retry';
import type { z } from 'zod';
import { InputError, UpgradeError } from './errors.ts';
import { timeLimit } from './wait.ts';

/** A request for {@link httpRequest}. */
export interface HttpRequest {
  /** Absolute URL. */
  readonly url: string;
  /** The setting that the URL comes from, for error messages. */
  readonly setting: string;
  /** @default GET */
  readonly method?: 'GET' | 'HEAD' | 'POST';
  /** @default none */
  readonly headers?: Readonly<Record<string, string>>;
  /** @default none */
  readonly body?: string;
  /** Time limit of each attempt, milliseconds. */
  readonly timeout: number;
  /** Further attempts when there is no answer or the status is 5xx. @default 0 */
  readonly retries?: number;
  /** Aborts the request and its retries. */
  readonly signal: AbortSignal;
}

/** An answer with a status below 500. */
export interface HttpAnswer {
  /** HTTP status. */
  readonly status: number;
  /** Response headers. */
  readonly headers: Headers;
  /** The whole body. */
  readonly text: string;
}

/**
 * Sends an HTTP request, follows redirects (F12) and retries as `retries` allows.
 *
 * @throws InputError for a redirect loop; UpgradeError (failed) when every attempt gets no answer or a 5xx;
 *   the signal's reason when aborted.
 */
export async function httpRequest(request: HttpRequest): Promise<HttpAnswer> {
  return pRetry(() => attempt(request), {
    retries: request.retries ?? 0,
    minTimeout: 200,
    maxTimeout: 5_000,
    randomize: true,
    signal: request.signal,
  });
}

async function attempt(request: HttpRequest): Promise<HttpAnswer> {
  const { url, setting, method = 'GET', headers, body } = request;
  const signal = timeLimit(request.timeout, request.signal);
  try {
    const response = await fetch(url, {
      method,
      signal,
      ...(headers && { headers }),
      ...(body !== undefined && { body }),
    });
    const text = await response.text();
    if (response.status < 500) return { status: response.status, headers: response.headers, text };
    throw new UpgradeError('failed', `${setting}: ${url} answered ${response.status}`);
  } catch (error) {
    request.signal.throwIfAborted();
    if (error instanceof UpgradeError) throw error;
    const why = reasonOf(error);
    if (why.includes('redirect')) {
      throw new AbortError(
        new InputError(setting, url, `a server that answers, not a redirect loop (${why})`),
      );
    }
    throw new UpgradeError('failed', `${setting}: no answer from ${url} (${why})`, { cause: error });
  }
}

function reasonOf(error: unknown): string {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  return cause instanceof Error ? cause.message || cause.name : String(cause);
}

/**
 * Parses a JSON answer.
 *
 * @param what should have answered, for the error message, such as `Prometheus`.
 * @throws InputError naming the setting when the text is HTML, empty, truncated or of another shape.
 */
export function parseJson<S extends z.ZodType>(
  schema: S,
  setting: string,
  url: string,
  text: string,
  what: string,
): z.output<S> {
  const shown = text.slice(0, 60).replace(/\s+/g, ' ') || 'an empty answer';
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch {
    throw new InputError(setting, `${url} answering ${shown}`, `the URL of ${what}, which answers JSON`);
  }
  const parsed = schema.safeParse(document);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  throw new InputError(
    setting,
    `${url} answering ${shown}`,
    `the URL of ${what} (${issue?.path.join('.')}: ${issue?.message})`,
  );
}
