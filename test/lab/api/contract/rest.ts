import { Agent, type RequestOptions, request } from 'node:https';
import { setTimeout as sleep } from 'node:timers/promises';
import type { KubeObject, Stored } from '../types.ts';

/** The decoded body of an answer. */
// biome-ignore lint/suspicious/noExplicitAny: the tests check the shape of what an API server sends.
type Body = any;

/** An answer of the server. */
export interface Answer {
  /** HTTP status. */
  readonly code: number;
  /** Decoded JSON, or text if it is not JSON. */
  readonly body: Body;
  /** Headers by their names in lower case. */
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
}

/** How to reach an API server. */
export interface Access {
  /** `https://…`, without a path. */
  readonly url: string;
  /** CA certificate, PEM. */
  readonly caPem: string;
  /** Bearer token. @default none: anonymous */
  readonly token?: string;
}

export const patchTypes = {
  json: 'application/json-patch+json',
  merge: 'application/merge-patch+json',
  strategic: 'application/strategic-merge-patch+json',
} as const;

/** One event of a watch. */
export interface WatchEvent {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK' | 'ERROR';
  /** The object; for ERROR a `Status`. */
  readonly object: Stored;
}

/** A plain HTTP client for an API server: tests see exactly what is sent and answered. */
export class Rest {
  readonly #access: Access;
  readonly #agent = new Agent({ keepAlive: true });

  constructor(access: Access) {
    this.#access = access;
  }

  /** Sends a request. Resolves with the answer for every status code. */
  send(method: string, path: string, body?: unknown, contentType = 'application/json'): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const text = body === undefined ? '' : JSON.stringify(body);
      const length = Buffer.byteLength(text);
      const headers = { 'Content-Type': contentType, 'Content-Length': length };
      const sent = request(this.#options(method, path, headers), (response) => {
        let answer = '';
        response.setEncoding('utf8').on('data', (chunk: string) => {
          answer += chunk;
        });
        response.on('error', reject);
        response.on('end', () =>
          resolve({ code: response.statusCode ?? 0, body: decoded(answer), headers: response.headers }),
        );
      });
      sent.on('error', reject).end(text);
    });
  }

  /** Like {@link send}, but returns the body. @throws Error with the answer when it is not a success */
  async ok(method: string, path: string, body?: unknown, contentType?: string): Promise<Body> {
    const answer = await this.send(method, path, body, contentType);
    if (answer.code < 300) return answer.body;
    throw new Error(`${method} ${path}: ${answer.code} ${JSON.stringify(answer.body)}`);
  }

  get(path: string): Promise<Body> {
    return this.ok('GET', path);
  }

  patch(path: string, body: unknown, type: keyof typeof patchTypes = 'merge'): Promise<Body> {
    return this.ok('PATCH', path, body, patchTypes[type]);
  }

  /** The object or list at `path`; undefined on 404. */
  async find(path: string): Promise<Body> {
    const { code, body } = await this.send('GET', path);
    return code === 404 ? undefined : body;
  }

  /** One watch, until the server ends it. Returns a function that ends it. */
  watch(
    path: string,
    onEvent: (event: WatchEvent) => void,
    onEnd: (error?: Error) => void = () => undefined,
  ): () => void {
    let rest = '';
    const separator = path.includes('?') ? '&' : '?';
    const sent = request(this.#options('GET', `${path}${separator}watch=true`, {}), (response) => {
      if (response.statusCode !== 200) {
        response.resume();
        onEnd(new Error(`watch ${path}: ${response.statusCode}`));
        return;
      }
      response.setEncoding('utf8').on('data', (chunk: string) => {
        const lines = (rest + chunk).split('\n');
        rest = lines.pop() ?? '';
        for (const line of lines.filter(Boolean)) onEvent(JSON.parse(line) as WatchEvent);
      });
      response.on('error', onEnd).on('end', () => onEnd());
    });
    sent.on('error', onEnd).end();
    return () => sent.destroy();
  }

  /**
   * Follows a list: every existing object as MODIFIED, then its changes. Lists again after the end of a watch
   * or an error, so an object may be reported repeatedly. Returns a function that stops it.
   */
  follow(path: string, onEvent: (event: WatchEvent) => void): () => void {
    let stopped = false;
    let stopWatch = (): void => undefined;
    const round = async (): Promise<void> => {
      const { items, metadata } = await this.get(path);
      for (const object of (items ?? []) as Stored[]) if (!stopped) onEvent({ type: 'MODIFIED', object });
      await new Promise<void>((resolve) => {
        const from = `${path}${path.includes('?') ? '&' : '?'}resourceVersion=${metadata.resourceVersion}`;
        stopWatch = this.watch(from, onEvent, () => resolve());
        if (stopped) stopWatch();
      });
    };
    const run = async (): Promise<void> => {
      while (!stopped) {
        await round().catch(() => undefined);
        await sleep(20);
      }
    };
    void run();
    return () => {
      stopped = true;
      stopWatch();
    };
  }

  /** Reads `path` until `test` accepts the result (undefined on 404). @throws Error after `timeout` ms */
  async eventually(path: string, test: (body: Body) => boolean, timeout = 30_000): Promise<Body> {
    for (const deadline = Date.now() + timeout; ; await sleep(25)) {
      const body = await this.find(path);
      if (test(body)) return body;
      if (Date.now() > deadline) throw new Error(`timed out waiting for ${path}: ${JSON.stringify(body)}`);
    }
  }

  /** Creates objects in the given order. @throws Error when one is refused */
  async create(objects: readonly KubeObject[]): Promise<void> {
    for (const object of objects) await this.ok('POST', collectionOf(object), object);
  }

  #options(method: string, path: string, headers: Record<string, string | number>): RequestOptions {
    const { url, caPem: ca, token } = this.#access;
    const { hostname, port } = new URL(url);
    const authorization = token === undefined ? {} : { Authorization: `Bearer ${token}` };
    return {
      hostname,
      port,
      path,
      method,
      ca,
      agent: this.#agent,
      headers: { ...headers, ...authorization },
    };
  }
}

function decoded(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

const clusterScoped = new Set([
  'ClusterRole',
  'ClusterRoleBinding',
  'CustomResourceDefinition',
  'Namespace',
  'Node',
  'PriorityClass',
  'ValidatingAdmissionPolicy',
  'ValidatingAdmissionPolicyBinding',
]);

/** The path of the collection that the object belongs to. */
export function collectionOf({ apiVersion = 'v1', kind = '', metadata }: KubeObject): string {
  const base = apiVersion === 'v1' ? '/api/v1' : `/apis/${apiVersion}`;
  const plural = kind.toLowerCase().replace(/y$/, 'ie').replace(/s$/, 'se');
  const scope = clusterScoped.has(kind) ? '' : `/namespaces/${metadata?.namespace ?? 'default'}`;
  return `${base}${scope}/${plural}s`;
}
