import type { IncomingMessage, ServerResponse } from 'node:http';
import { HttpService, type HttpServiceOptions, send } from '../lab/services/http.ts';

/** Passes requests without a body on to a Prometheus, and says that it has been up for a day. */
export class OldPrometheus extends HttpService {
  readonly #prometheus: string;

  constructor(prometheus: string, options: HttpServiceOptions) {
    super(options);
    this.#prometheus = prometheus;
  }

  protected override async answer(
    { method = 'GET' }: IncomingMessage,
    response: ServerResponse,
    { pathname, search }: URL,
  ): Promise<void> {
    const answer = await fetch(`${this.#prometheus}${pathname}${search}`, { method });
    const text = await answer.text();
    const isStart = pathname === '/api/v1/status/runtimeinfo';
    const type = answer.headers.get('content-type') ?? 'text/plain';
    send(response, answer.status, isStart ? aged(text) : text, { 'content-type': type });
  }
}

function aged(text: string): string {
  const { data, ...rest } = JSON.parse(text);
  return JSON.stringify({
    ...rest,
    data: { ...data, startTime: new Date(Date.now() - 86_400_000).toISOString() },
  });
}
