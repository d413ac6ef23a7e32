import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Call, CallGate, Interference } from '../call-gate.ts';

/** What goes wrong with a service's answers; the first that is set wins, after the latency. */
export interface HttpFaults {
  latencyMs?: number;
  /** The connection breaks off without an answer. */
  reset?: boolean;
  /** Every request is sent on to itself. */
  redirectLoop?: boolean;
  /** Instead of the real status; with the body below, or none. */
  status?: number;
  /** Instead of the real body, with status 200 unless set. */
  body?: string;
}

export interface HttpServiceOptions {
  /** @default 127.0.0.1 */
  readonly address?: string;
  /** @default any free one */
  readonly port?: number;
}

/** An HTTP server on loopback that can be told to misbehave. Subclasses answer. */
export abstract class HttpService {
  faults: HttpFaults = {};
  /** Asked about every request, before the faults. */
  gate: CallGate | undefined;
  readonly #options: HttpServiceOptions;
  #server: Server | undefined;
  #port = 0;

  constructor(options: HttpServiceOptions = {}) {
    this.#options = options;
  }

  /** Without a slash at its end. */
  get url(): string {
    return `http://${this.#options.address ?? '127.0.0.1'}:${this.#port}`;
  }

  async start(): Promise<this> {
    const server = createServer((request, response) => {
      this.#handle(request, response).catch((error: unknown) => fail(response, error));
    });
    server.listen(this.#port || (this.#options.port ?? 0), this.#options.address ?? '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    if (address !== null && typeof address === 'object') this.#port = address.port;
    this.#server = server;
    return this;
  }

  /** May be started again, on the same port. */
  async stop(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    if (server === undefined) return;
    const closed = once(server, 'close');
    server.close();
    server.closeAllConnections();
    await closed;
  }

  protected abstract answer(
    request: IncomingMessage,
    response: ServerResponse,
    url: URL,
  ): Promise<void> | void;

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { latencyMs = 0, reset, redirectLoop, status, body } = this.faults;
    if (latencyMs > 0) await new Promise((resolve) => setTimeout(resolve, latencyMs));
    const url = new URL(request.url ?? '/', this.url);
    if (reset === true) request.socket.destroy();
    else if (redirectLoop === true) redirect(response, `${this.url}${request.url ?? '/'}`);
    else if (status !== undefined || body !== undefined) send(response, status ?? 200, body ?? '');
    else await this.#answerGated(request, response, url);
  }

  async #answerGated(request: IncomingMessage, response: ServerResponse, url: URL): Promise<void> {
    const { gate } = this;
    if (gate === undefined) return this.answer(request, response, url);
    const call: Call = {
      kind: 'http',
      what: `${request.method} ${this.constructor.name}${url.pathname}`,
      port: request.socket.remotePort ?? 0,
    };
    const arrived = gate.arrived(call);
    if (typeof arrived === 'object' && 'status' in arrived) {
      const { status, retryAfter } = arrived;
      const headers: Record<string, string> =
        retryAfter === undefined ? {} : { 'retry-after': String(retryAfter) };
      return send(response, status, '', headers);
    }
    if (arrived !== undefined) return breakOff(request, arrived);
    await this.answer(
      request,
      heldBack(response, () => gate.answering(call)),
      url,
    );
  }
}

async function breakOff(request: IncomingMessage, how: Interference): Promise<void> {
  if (typeof how === 'object' && 'silenceMs' in how) await sleep(how.silenceMs);
  request.socket.destroy();
}

/** Whatever a service does, it answers last: that is when the gate is asked again. */
function heldBack(response: ServerResponse, answering: () => Interference | undefined): ServerResponse {
  const end = response.end.bind(response);
  response.end = ((...args: Parameters<typeof end>) => {
    const how = answering();
    if (how === undefined) return end(...args);
    void breakOff(response.req, how);
    return response;
  }) as typeof response.end;
  return response;
}

function fail(response: ServerResponse, error: unknown): void {
  if (response.headersSent) response.destroy();
  else send(response, 500, String(error));
}

export function send(
  response: ServerResponse,
  status: number,
  body: string,
  headers: Record<string, string> = {},
): void {
  response.writeHead(status, {
    'content-type': 'text/plain; charset=utf-8',
    'content-length': String(Buffer.byteLength(body)),
    ...headers,
  });
  response.end(response.req.method === 'HEAD' ? undefined : body);
}

export function sendJson(response: ServerResponse, status: number, body: unknown): void {
  send(response, status, JSON.stringify(body), { 'content-type': 'application/json' });
}

export function redirect(response: ServerResponse, location: string): void {
  send(response, 302, '', { location });
}

/** The whole body as text. */
export async function bodyOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString('utf8');
}
