import type { IncomingMessage, ServerResponse } from 'node:http';
import { afterEach, beforeEach, describe, expect, it, test } from 'vitest';
import { z } from 'zod';
import { HttpService, redirect, send } from '../../test/lab/services/http.ts';
import { InputError } from './errors.ts';
import { type HttpRequest, httpRequest, parseJson } from './http.ts';
import { rejection } from './testing/files.ts';

/** Answers with `respond` and records each request. */
class Echo extends HttpService {
  readonly requests: string[] = [];
  respond: (request: IncomingMessage, response: ServerResponse) => void = (_, response) =>
    send(response, 200, 'ok');

  protected override answer(request: IncomingMessage, response: ServerResponse): void {
    this.requests.push(`${request.method} ${request.url}`);
    this.respond(request, response);
  }
}

let server: Echo;
beforeEach(async () => {
  server = await new Echo().start();
});
afterEach(() => server.stop());

const fetchPath = (change: Partial<HttpRequest> = {}) =>
  httpRequest({
    url: `${server.url}/path`,
    setting: 'some.url',
    timeout: 2_000,
    signal: new AbortController().signal,
    ...change,
  });

describe('a request', () => {
  it('returns status, headers and text for any status below 500', async () => {
    server.respond = (_, response) => send(response, 404, 'not here', { 'x-why': 'gone' });
    const { status, headers, text } = await fetchPath({ method: 'POST', body: '{}' });
    expect([status, headers.get('x-why'), text, server.requests]).toEqual([
      404,
      'gone',
      'not here',
      ['POST /path'],
    ]);
  });

  it('follows redirects (F12)', async () => {
    server.respond = (request, response) =>
      request.url === '/path' ? redirect(response, `${server.url}/other`) : send(response, 200, 'there');
    expect((await fetchPath()).text).toBe('there');
  });

  it('is bad input in a redirect loop, and is not retried', async () => {
    server.faults = { redirectLoop: true };
    const error = await rejection(fetchPath({ retries: 3 }));
    expect(error).toBeInstanceOf(InputError);
    expect(error.message).toContain(`some.url: "${server.url}/path" is not allowed`);
    expect(error.message).toContain('not a redirect loop');
  });

  test.each([
    ['a 5xx', { status: 503 }, 'answered 503'],
    ['no answer', { reset: true }, 'no answer from'],
  ])('is retried after %s, as often as allowed', async (_what, faults, message) => {
    server.faults = faults;
    const error = await rejection(fetchPath({ retries: 1 }));
    expect(error).toMatchObject({ code: 'failed', message: expect.stringContaining(message) });
    expect(error.message).toContain('some.url');

    const answer = fetchPath({ retries: 3 });
    setTimeout(() => {
      server.faults = {};
    }, 50);
    expect((await answer).text).toBe('ok');
  });

  it('fails when nothing listens, and when no answer comes in time', async () => {
    server.faults = { latencyMs: 2_000 };
    expect(await rejection(fetchPath({ timeout: 50 }))).toMatchObject({
      code: 'failed',
      message: expect.stringContaining('no answer'),
    });
    await server.stop();
    expect(await rejection(fetchPath())).toMatchObject({
      code: 'failed',
      message: expect.stringContaining('ECONNREFUSED'),
    });
  });

  it('rejects with the reason of its signal when aborted', async () => {
    server.faults = { latencyMs: 2_000 };
    const stop = new AbortController();
    const answer = rejection(fetchPath({ signal: stop.signal, retries: 3 }));
    setTimeout(() => stop.abort(new Error('enough')), 30);
    expect((await answer).message).toBe('enough');
  });
});

describe('a JSON answer', () => {
  const schema = z.object({ status: z.literal('success'), n: z.number() });
  const parse = (text: string) => parseJson(schema, 'some.url', 'http://x/', text, 'Prometheus');

  it('is parsed, and unknown keys are dropped', () => {
    expect(parse('{"status":"success","n":1,"more":true}')).toEqual({ status: 'success', n: 1 });
  });

  test.each([
    ['HTML', '<html>\n<body>Sign in</body></html>', '<html> <body>Sign in'],
    ['empty', '', 'an empty answer'],
    ['truncated', '{"status":"succ', 'which answers JSON'],
    ['of another shape', '{"status":"error"}', 'status: '],
    ['a list', '[]', 'expected the URL of Prometheus'],
  ])('that is %s is bad input, and the error names the setting', (_what, text, message) => {
    expect(() => parse(text)).toThrow(InputError);
    expect(() => parse(text)).toThrow(message);
    expect(() => parse(text)).toThrow('some.url: "http://x/ answering');
  });
});
