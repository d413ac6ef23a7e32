import type { ServerResponse } from 'node:http';
import type { Resource } from '../resources.ts';
import { parseFieldSelector, parseLabelSelector } from '../selectors.ts';
import { badRequest, failure } from '../status.ts';
import type { Change, Store } from '../store.ts';
import type { Stored } from '../types.ts';
import type { Representation } from './representation.ts';

type Selects = (object: Stored) => boolean;

/** A predicate for the request's namespace, label selector and field selector. @throws StatusError 400 */
export function selection(r: Resource, namespace: string | undefined, query: URLSearchParams): Selects {
  const byLabel = parseLabelSelector(query.get('labelSelector') ?? '');
  const byField = parseFieldSelector(r.name, query.get('fieldSelector') ?? '');
  const scope = r.namespaced ? namespace : undefined;
  return (o) =>
    (scope === undefined || o.metadata.namespace === scope) && byLabel(o.metadata.labels) && byField(o);
}

/** The selected objects, ordered by namespace and name like etcd's keys. */
export function selected(
  store: Store,
  r: Resource,
  namespace: string | undefined,
  selects: Selects,
): Stored[] {
  const path = ({ metadata }: Stored) => `${metadata.namespace ?? ''}/${metadata.name}`;
  const objects = store.list(r.name, r.namespaced ? namespace : undefined) as Stored[];
  return objects.filter(selects).sort((a, b) => (path(a) < path(b) ? -1 : 1));
}

interface Page {
  readonly objects: readonly Stored[];
  /** Continue token of the next page; undefined on the last. */
  readonly next: string | undefined;
}

/** The page of a list that `limit` and `continue` select. @throws StatusError 400 */
export function page(store: Store, objects: readonly Stored[], query: URLSearchParams): Page {
  const given = query.get('continue') ?? '';
  const from = given === '' ? 0 : Number(Buffer.from(given, 'base64url').toString().split(' ')[1]);
  if (Number.isNaN(from)) throw badRequest('continue key is not valid');
  const limit = Number(query.get('limit') ?? 0);
  const end = limit > 0 ? from + limit : objects.length;
  const next =
    end < objects.length ? Buffer.from(`${store.version} ${end}`).toString('base64url') : undefined;
  return { objects: objects.slice(from, end), next };
}

/** Checks the parameter `resourceVersion`. @throws StatusError 400 when it is not a number */
export function checkVersionParameter(query: URLSearchParams): void {
  const version = query.get('resourceVersion') ?? '';
  if (/^\d*$/.test(version)) return;
  throw badRequest(
    `resourceVersion: Invalid value: ${JSON.stringify(version)}: strconv.ParseUint: parsing ${JSON.stringify(version)}: invalid syntax`,
  );
}

interface WatchOptions {
  readonly store: Store;
  readonly resource: Resource;
  readonly namespace: string | undefined;
  readonly selects: Selects;
  readonly query: URLSearchParams;
  readonly shown: Representation;
  /** Between two bookmarks, in ms. */
  readonly bookmarkInterval: number;
}

/** A watch stream: one JSON document per line, until the client disconnects, the timeout or {@link stop}. */
export class Watch {
  readonly #o: WatchOptions;
  readonly #response: ServerResponse;
  readonly #endings: (() => void)[] = [];

  constructor(response: ServerResponse, options: WatchOptions) {
    this.#o = options;
    this.#response = response;
  }

  /** Starts the stream. `onEnd` is called once, when it ends. */
  start(onEnd: () => void): void {
    this.#endings.push(onEnd);
    this.#response.once('close', () => this.stop());
    this.#response.writeHead(200, { 'Content-Type': 'application/json' });
    this.#response.flushHeaders();
    if (!this.#sendPast()) {
      this.stop();
      return;
    }
    this.#endings.push(this.#o.store.subscribe((change) => this.#deliver(change)));
    this.#startTimers();
  }

  /** Ends the stream. May be called twice. */
  stop(): void {
    for (const end of this.#endings.splice(0)) end();
    this.#response.end();
  }

  /** Sends initial objects or past changes. Returns false when the history does not reach back far enough. */
  #sendPast(): boolean {
    const { query, store, shown } = this.#o;
    const from = query.get('resourceVersion') ?? '';
    const initial = query.get('sendInitialEvents') === 'true';
    if (initial || from === '' || from === '0') {
      const objects = selected(store, this.#o.resource, this.#o.namespace, this.#o.selects);
      for (const object of objects) this.#send('ADDED', shown.event(object));
      const annotations = { 'k8s.io/initial-events-end': 'true' };
      if (initial) this.#send('BOOKMARK', shown.bookmark(String(store.version), annotations));
      return true;
    }
    const past = store.since(Number(from));
    if (past === undefined) {
      this.#send('ERROR', failure(410, 'Expired', `too old resource version: ${from} (${store.version})`));
      return false;
    }
    for (const change of past) this.#deliver(change);
    return true;
  }

  #startTimers(): void {
    const { query, bookmarkInterval, shown, store } = this.#o;
    const bookmark = () => this.#send('BOOKMARK', shown.bookmark(String(store.version)));
    if (query.get('allowWatchBookmarks') === 'true') {
      const timer = setInterval(bookmark, bookmarkInterval);
      this.#endings.push(() => clearInterval(timer));
    }
    const seconds = Number(query.get('timeoutSeconds') ?? 0);
    if (seconds > 0) {
      const timer = setTimeout(() => this.stop(), seconds * 1000);
      this.#endings.push(() => clearTimeout(timer));
    }
  }

  /**
   * An object that no longer matches the selector is DELETED for this client; one that newly matches is
   * ADDED.
   */
  #deliver({ type, resource, object, before }: Change): void {
    if (resource !== this.#o.resource.name) return;
    const was = before !== undefined && this.#o.selects(before);
    const is = type !== 'DELETED' && this.#o.selects(object);
    if (!was && !is) return;
    const shownType = was && is ? 'MODIFIED' : is ? 'ADDED' : 'DELETED';
    // DELETED carries the object's last matching state, with the version of the change.
    const { resourceVersion } = object.metadata;
    const last = { ...(before ?? object), metadata: { ...(before ?? object).metadata, resourceVersion } };
    this.#send(shownType, this.#o.shown.event(shownType === 'DELETED' ? last : object));
  }

  #send(type: string, object: unknown): void {
    this.#response.write(`${JSON.stringify({ type, object })}\n`);
  }
}
