import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { parse as parseYaml } from 'yaml';
import type { Call, Interference } from '../call-gate.ts';
import type { ServerIdentity } from './auth/pki.ts';
import { type AllowedBy, denial, type Rbac } from './auth/rbac.ts';
import { anonymous, type Tokens, type User } from './auth/tokens.ts';
import type { FaultAction, Faults } from './faults.ts';
import type { RequestLog } from './request-log.ts';
import { discovery, openApiV3, versionInfo } from './rest/discovery.ts';
import type { Answer, ResourceHandler } from './rest/handler.ts';
import { attributes, type RequestInfo, requestInfo } from './rest/request-info.ts';
import { decodeProtobuf, protobufMediaType } from './schema/decode.ts';
import {
  badRequest,
  failure,
  forbidden,
  type Status,
  StatusError,
  unauthorized,
  unknownPath,
} from './status.ts';

/** What {@link ApiHttpServer} is built from. */
export interface ServerDeps {
  readonly identity: ServerIdentity;
  readonly tokens: Tokens;
  readonly rbac: Rbac;
  readonly handler: ResourceHandler;
  readonly faults: Faults;
  readonly requests: RequestLog;
  /** The version that `/version` reports, `X.Y.Z`. */
  readonly release: () => string;
}

interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly info: RequestInfo;
  readonly user: User;
  readonly time: Date;
  allowedBy?: AllowedBy | undefined;
  /** Whether it was authorized before the server had read the roles. */
  early?: boolean;
}

/** The HTTPS server: authentication, faults, authorization, dispatch, request log. */
export class ApiHttpServer {
  readonly #deps: ServerDeps;
  readonly #sockets = new Set<Socket>();
  readonly #streams = new Set<() => void>();
  #server: Server | undefined;
  #port = 0;

  constructor(deps: ServerDeps) {
    this.#deps = deps;
  }

  /** `127.0.0.1:<port>`; the port is 0 before the first {@link listen}. */
  get address(): string {
    return `127.0.0.1:${this.#port}`;
  }

  /** Listens on a free port; after a {@link close} on the same port again. */
  async listen(): Promise<void> {
    const { keyPem: key, certPem: cert } = this.#deps.identity;
    const server = createServer({ key, cert, keepAlive: true }, (request, response) => {
      this.#serve(request, response).catch(() => request.socket.destroy());
    });
    server.keepAliveTimeout = 60_000;
    server.on('connection', (socket: Socket) => {
      this.#sockets.add(socket);
      socket.on('error', () => socket.destroy());
      socket.once('close', () => this.#sockets.delete(socket));
    });
    server.on('tlsClientError', (_, socket) => socket.destroy());
    server.listen(this.#port, '127.0.0.1');
    await once(server, 'listening');
    this.#port = (server.address() as AddressInfo).port;
    this.#server = server;
  }

  /** Stops listening and cuts open connections. Does nothing when not listening. */
  async close(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    if (server === undefined) return;
    const closed = once(server, 'close');
    server.close();
    for (const stop of [...this.#streams]) stop();
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    response.on('error', () => undefined);
    const info = requestInfo(request.method ?? 'GET', request.url ?? '/');
    const user = this.#deps.tokens.userOf(request.headers.authorization);
    const body = await readBody(request);
    const exchange: Exchange = { request, response, info, user: user ?? anonymous, time: new Date() };
    const { gate } = this.#deps.faults;
    const call = callOf(exchange);
    const arrived = gate?.arrived(call);
    if (arrived !== undefined && !(typeof arrived === 'object' && 'status' in arrived))
      return this.#breakOff(exchange, arrived);
    const ordered = typeof arrived === 'object' ? arrived : undefined;
    const taken = this.#deps.faults.take({ ...info, path: request.url ?? '', user: exchange.user.name });
    const fault = ordered ?? taken;
    if (fault !== undefined && 'latencyMs' in fault) await sleep(fault.latencyMs);
    if (fault !== undefined && 'reset' in fault && fault.reset === 'before') return this.#cut(exchange);
    const answer = this.#answerTo(exchange, user, body, fault);
    const answering = gate?.answering(call);
    if (answering !== undefined) return this.#breakOff(exchange, answering);
    if (fault !== undefined && 'reset' in fault) return this.#cut(exchange);
    if (fault !== undefined && 'silenceMs' in fault) await sleep(fault.silenceMs);
    this.#send(exchange, answer, fault);
  }

  #answerTo(
    exchange: Exchange,
    user: User | undefined,
    body: Buffer,
    fault: FaultAction | undefined,
  ): Answer {
    try {
      if (user === undefined) throw unauthorized();
      if (fault !== undefined && 'status' in fault)
        throw new StatusError(faultStatus(fault.status, fault.retryAfter));
      this.#authorize(exchange);
      return this.#dispatch(exchange, body);
    } catch (error) {
      if (error instanceof StatusError) return { code: error.status.code, body: error.status };
      const why = error instanceof Error ? (error.stack ?? error.message) : String(error);
      console.error(`lab api: ${exchange.info.verb} ${exchange.info.path}: ${why}`);
      return {
        code: 500,
        body: failure(500, 'InternalError', `Internal error occurred: ${why.split('\n')[0]}`),
      };
    }
  }

  #authorize(exchange: Exchange): void {
    const { info } = exchange;
    const wanted = attributes(info, exchange.user);
    exchange.allowedBy = this.#deps.rbac.allowedBy(wanted);
    exchange.early = !this.#deps.rbac.synced;
    if (exchange.allowedBy !== undefined) return;
    if (info.isResource)
      throw forbidden({ group: info.group, name: info.resource }, info.name, denial(wanted));
    throw new StatusError(failure(403, 'Forbidden', `forbidden: ${denial(wanted)}`, {}));
  }

  #dispatch({ request, response, info, user }: Exchange, bytes: Buffer): Answer {
    if (info.isResource && info.resource !== '') {
      const body = parseBody(bytes, request.headers['content-type'] ?? '');
      return this.#deps.handler.handle({ info, user, request, response, body });
    }
    const { path } = info;
    if (path === '/version' || path === '/version/')
      return { code: 200, body: versionInfo(this.#deps.release()) };
    if (/^\/(healthz|livez|readyz)(\/.*)?$/.test(path)) return { code: 200, body: 'ok' };
    const found = discovery(path, this.address) ?? openApiV3(path);
    if (found === undefined) throw unknownPath();
    return { code: 200, body: found };
  }

  #send(exchange: Exchange, answer: Answer, fault: FaultAction | undefined): void {
    const { response } = exchange;
    if ('stream' in answer) {
      this.#stream(exchange, answer);
      return;
    }
    this.#log(exchange, answer.code);
    const isText = typeof answer.body === 'string';
    const headers: Record<string, string> = { 'Content-Type': isText ? 'text/plain' : 'application/json' };
    const seconds = (answer.body as Status | undefined)?.details?.retryAfterSeconds;
    const retryAfter = fault !== undefined && 'status' in fault ? fault.retryAfter : undefined;
    if (answer.code >= 400 && (retryAfter ?? seconds) !== undefined)
      headers['Retry-After'] = String(retryAfter ?? seconds);
    response.writeHead(answer.code, headers);
    response.end(isText ? answer.body : `${JSON.stringify(answer.body)}\n`);
  }

  #stream(exchange: Exchange, answer: Extract<Answer, { stream: unknown }>): void {
    let stop = (): void => undefined;
    const forget = () => this.#streams.delete(stopNow);
    const stopNow = () => stop();
    this.#streams.add(stopNow);
    try {
      stop = answer.stream(exchange.response, forget);
      this.#log(exchange, 200);
    } catch (error) {
      forget();
      if (!(error instanceof StatusError)) throw error;
      this.#send(exchange, { code: error.status.code, body: error.status }, undefined);
    }
  }

  async #breakOff(exchange: Exchange, how: Interference): Promise<void> {
    if (typeof how === 'object' && 'silenceMs' in how) await sleep(how.silenceMs);
    this.#cut(exchange);
  }

  #cut(exchange: Exchange): void {
    this.#log(exchange, 0);
    exchange.request.socket.destroy();
  }

  #log({ info, user, time, allowedBy, early = false }: Exchange, status: number): void {
    const { verb, group, resource, subresource, namespace = '', name, path, dryRun } = info;
    this.#deps.requests[early && status === 403 ? 'addEarly' : 'add']({
      time,
      user: user.name,
      verb,
      group,
      resource,
      subresource,
      namespace,
      name,
      path,
      dryRun,
      status,
      allowedBy,
    });
  }
}

/** Describes a call, such as `create pods/web-1/eviction`; a non-resource request by its path. */
function callOf({ request, info }: Exchange): Call {
  const parts = [info.resource, info.name, info.subresource].filter(Boolean);
  const what = `${info.verb} ${info.isResource ? parts.join('/') : info.path}`;
  return { kind: 'api', what, port: request.socket.remotePort ?? 0 };
}

async function readBody(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

function parseBody(bytes: Buffer, contentType: string): unknown {
  if (bytes.length === 0) return undefined;
  try {
    if (contentType.startsWith(protobufMediaType)) return decodeProtobuf(bytes);
    const text = bytes.toString();
    return contentType.includes('yaml') ? parseYaml(text) : JSON.parse(text);
  } catch (error) {
    throw badRequest(`error decoding the body: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function faultStatus(code: number, retryAfter: number | undefined): Status {
  const details = retryAfter === undefined ? undefined : { retryAfterSeconds: retryAfter };
  if (code === 429) {
    return failure(
      429,
      'TooManyRequests',
      'the server has received too many requests and has asked us to try again later',
      details,
    );
  }
  const reason = { 500: 'InternalError', 503: 'ServiceUnavailable', 504: 'Timeout' }[code];
  return failure(code, reason, `Internal error occurred: fault ${code}`, details);
}
