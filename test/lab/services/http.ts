import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Call, CallGate, Interference } from '../call-gate.ts';

/**
 * Faults of a service's answers. The latency is applied first; of the others the first that is set applies.
 */
export interface HttpFaults {
  /** Delay of every answer, in ms. */
  latencyMs?: number;
  /** Cuts the connection without an answer. */
  reset?: boolean;
  /** Redirects every request to itself. */
  redirectLoop?: boolean;
  /** Replaces the status; the body is `body` or empty. */
  status?: number;
  /** Replaces the body, with status 200 unless `status` is set. */
  body?: string;
}

/** Options of {@link HttpService}. */
export interface HttpServiceOptions {
  /** Address to listen on. @default 127.0.0.1 */
  readonly address?: string;
  /** Port to listen on. @default any free port */
  readonly port?: number;
}

/** An HTTP server on loopback with injectable faults. Subclasses implement the answers. */
export abstract class HttpService {
  /** Faults that apply to every request. */
  faults: HttpFaults = {};
  /** Sees every request that no fault applies to. */
  gate: CallGate | undefined;
  readonly #options: HttpServiceOptions;
  #server: Server | undefined;
  #port = 0;

  constructor(options: HttpServiceOptions = {}) {
    this.#options = options;
  }

  /** Base URL, without a trailing slash. */
  get url(): string {
    return `http://${this.#options.address ?? '127.0.0.1'}:${this.#port}`;
  }

  /** Starts listening; after a {@link stop} on the same port again. */
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

  /** Stops listening and closes all connections. May be called twice. */
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

/** Consults the gate when the service ends its answer, which is the last thing that it does. */
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

/** Sends a complete answer, as text unless the headers name another type. */
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
