import { Agent, type RequestOptions, request } from 'node:https';
import { setTimeout as sleep } from 'node:timers/promises';
import type { KubeObject, Stored } from '../types.ts';

/** A decoded answer, whatever its code. */
// biome-ignore lint/suspicious/noExplicitAny: what an API server sends; the tests say what they expect of it.
type Body = any;

export interface Answer {
  readonly code: number;
  readonly body: Body;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
}

export interface Access {
  /** `https://…`, without a path. */
  readonly url: string;
  readonly caPem: string;
  /** Bearer token; none: anonymous. */
  readonly token?: string;
}

export const patchTypes = {
  json: 'application/json-patch+json',
  merge: 'application/merge-patch+json',
  strategic: 'application/strategic-merge-patch+json',
} as const;

export interface WatchEvent {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK' | 'ERROR';
  readonly object: Stored;
}

/** An API server as it is on the wire: no client library between the test and what is sent and answered. */
export class Rest {
  readonly #access: Access;
  readonly #agent = new Agent({ keepAlive: true });

  constructor(access: Access) {
    this.#access = access;
  }

  /** Resolves with the answer, whatever its code. */
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

  /** As {@link send}. @throws Error with the answer when it is not a success. */
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

  /** What is there under `path`, undefined when nothing is. */
  async find(path: string): Promise<Body> {
    const { code, body } = await this.send('GET', path);
    return code === 404 ? undefined : body;
  }

  /** One watch, to its end. Returns how to end it. */
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

  /** Every object of a list as it is and as it changes, across ends of watches; listed again, it is MODIFIED. */
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

  /** Asks until `test` holds of what is there (undefined: nothing). @throws Error after `timeout` milliseconds. */
  async eventually(path: string, test: (body: Body) => boolean, timeout = 30_000): Promise<Body> {
    for (const deadline = Date.now() + timeout; ; await sleep(25)) {
      const body = await this.find(path);
      if (test(body)) return body;
      if (Date.now() > deadline) throw new Error(`${path} never got there: ${JSON.stringify(body)}`);
    }
  }

  /** In the given order. @throws Error when one is refused. */
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

/** Where a kind's objects are. */
export function collectionOf({ apiVersion = 'v1', kind = '', metadata }: KubeObject): string {
  const base = apiVersion === 'v1' ? '/api/v1' : `/apis/${apiVersion}`;
  const plural = kind.toLowerCase().replace(/y$/, 'ie').replace(/s$/, 'se');
  const scope = clusterScoped.has(kind) ? '' : `/namespaces/${metadata?.namespace ?? 'default'}`;
  return `${base}${scope}/${plural}s`;
}
