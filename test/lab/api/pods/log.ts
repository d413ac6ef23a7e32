import type { ServerResponse } from 'node:http';
import { resourceNamed } from '../resources.ts';
import { badRequest, notFound } from '../status.ts';
import type { Pod } from '../types.ts';

interface Line {
  /** When it was written, ISO 8601. */
  readonly time: string;
  readonly text: string;
}

/** The output of a container, and its followers. */
export class ContainerLog {
  readonly #lines: Line[] = [];
  readonly #followers = new Set<(line: Line | undefined) => void>();
  #partial = '';
  #ended = false;

  /** Appends output. stdout and stderr share one log, as in a container runtime. */
  append(text: string): void {
    const parts = (this.#partial + text).split('\n');
    this.#partial = parts.pop() ?? '';
    for (const part of parts) this.#add(`${part}\n`);
  }

  /** Ends the log: flushes an incomplete last line and notifies followers. */
  end(): void {
    if (this.#partial !== '') this.#add(this.#partial);
    this.#partial = '';
    this.#ended = true;
    for (const follower of this.#followers) follower(undefined);
    this.#followers.clear();
  }

  /** Everything written so far. */
  text(): string {
    return this.#lines.map((l) => l.text).join('') + this.#partial;
  }

  get lines(): readonly Line[] {
    return this.#lines;
  }

  /**
   * Calls the follower for every new line, and with undefined at the end. Returns a function that
   * unsubscribes it.
   */
  follow(follower: (line: Line | undefined) => void): () => void {
    if (this.#ended) follower(undefined);
    else this.#followers.add(follower);
    return () => this.#followers.delete(follower);
  }

  #add(text: string): void {
    const line = { time: new Date().toISOString().replace('Z', '000000Z'), text };
    this.#lines.push(line);
    for (const follower of this.#followers) follower(line);
  }
}

/**
 * Serves `pods/log` with container, follow, tailLines, sinceSeconds, sinceTime, timestamps and previous.
 * @throws StatusError 400 or 404 when there is no such log
 */
export function serveLog(
  pod: Pod,
  query: URLSearchParams,
  logOf: (pod: Pod, container: string, previous: boolean) => ContainerLog | undefined,
  response: ServerResponse,
): void {
  const container = containerOf(pod, query.get('container'));
  const previous = query.get('previous') === 'true';
  const log = logOf(pod, container, previous);
  if (log === undefined) throw missingLog(pod, container, previous);
  const stamped = query.get('timestamps') === 'true';
  const write = (line: Line) => response.write(stamped ? `${line.time} ${line.text}` : line.text);
  response.writeHead(200, { 'Content-Type': 'text/plain' });
  response.flushHeaders();
  for (const line of wantedLines(log, query)) write(line);
  if (query.get('follow') !== 'true') {
    response.end();
    return;
  }
  const stop = log.follow((line) => {
    if (line === undefined) response.end();
    else write(line);
  });
  response.once('close', stop);
}

function wantedLines(log: ContainerLog, query: URLSearchParams): readonly Line[] {
  const seconds = query.get('sinceSeconds');
  const since =
    query.get('sinceTime') ??
    (seconds === null ? '' : new Date(Date.now() - Number(seconds) * 1000).toISOString());
  const recent = log.lines.filter((l) => l.time >= since);
  const tail = query.get('tailLines');
  return tail === null || Number(tail) < 0 ? recent : recent.slice(Math.max(0, recent.length - Number(tail)));
}

function containerOf(pod: Pod, requested: string | null): string {
  const names = (pod.spec?.containers ?? []).map((c) => c.name);
  const [only] = names;
  if (requested === null || requested === '') {
    if (names.length === 1 && only !== undefined) return only;
    throw badRequest(
      `a container name must be specified for pod ${pod.metadata.name}, choose one of: [${names.join(' ')}]`,
    );
  }
  if (names.includes(requested)) return requested;
  throw badRequest(`container ${requested} is not valid for pod ${pod.metadata.name}`);
}

function missingLog(pod: Pod, container: string, previous: boolean): Error {
  const { name } = pod.metadata;
  if (previous)
    return badRequest(
      `previous terminated container ${JSON.stringify(container)} in pod ${JSON.stringify(name)} not found`,
    );
  if (pod.status?.phase === 'Pending') {
    return badRequest(
      `container ${JSON.stringify(container)} in pod ${JSON.stringify(name)} is waiting to start: ContainerCreating`,
    );
  }
  return notFound(resourceNamed('pods'), name);
}
