import { setTimeout as sleep } from 'node:timers/promises';
import { objectNames } from '../../runtime/src/names.ts';
import type { Rest, WatchEvent } from '../lab/api/contract/rest.ts';
import type { Change } from '../lab/api/store.ts';
import type { Stored, TypeOf } from '../lab/api/types.ts';
import type { ClusterView, ViewedResource } from '../lab/api-server.ts';

/** How long a change waits for earlier ones of other resources, whose watches may be slower. Milliseconds. */
const hold = 500;

const paths: Readonly<Record<ViewedResource, string>> = {
  nodes: '/api/v1/nodes',
  namespaces: '/api/v1/namespaces',
  pods: '/api/v1/pods',
  jobs: `/apis/batch/v1/namespaces/${objectNames.namespace}/jobs`,
  leases: `/apis/coordination.k8s.io/v1/namespaces/${objectNames.namespace}/leases`,
};

interface Waiting {
  readonly arrived: number;
  readonly version: number;
  readonly resource: ViewedResource;
  readonly object: Stored;
  readonly gone: boolean;
}

/**
 * What the watches of several resources report, as one sequence. A watch says nothing about the order of two
 * resources, but etcd counts the versions of all objects together: changes are held for a moment and
 * delivered in the order of their versions.
 */
export class OrderedView implements ClusterView {
  readonly #rest: Rest;
  readonly #objects = new Map<string, Stored>();
  /** As {@link #objects}, with what is still held. */
  readonly #received = new Map<string, Stored>();
  readonly #listeners = new Set<(change: Change) => void>();
  readonly #stops = new Map<ViewedResource, () => void>();
  #waiting: Waiting[] = [];
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;
  #changedAt = Date.now();

  constructor(rest: Rest) {
    this.#rest = rest;
  }

  /** Resolves once every resource has been listed. */
  async start(): Promise<void> {
    const resources = Object.keys(paths) as ViewedResource[];
    await Promise.all(
      resources.map((resource) => new Promise<void>((resolve) => void this.#follow(resource, resolve))),
    );
    this.#timer = setInterval(() => this.#deliver(Date.now() - hold), 50);
  }

  /** Delivers what is held. */
  stop(): void {
    this.#stopped = true;
    clearInterval(this.#timer);
    for (const stop of this.#stops.values()) stop();
    this.#deliver(Number.POSITIVE_INFINITY);
  }

  /** When the last change arrived, Unix milliseconds. */
  get changedAt(): number {
    return this.#changedAt;
  }

  async caughtUp(): Promise<void> {
    await sleep(hold + 250);
  }

  get<R extends ViewedResource>(
    resource: R,
    namespace: string | undefined,
    name: string,
  ): TypeOf<R> | undefined {
    return this.#objects.get(key(resource, namespace, name)) as TypeOf<R> | undefined;
  }

  list<R extends ViewedResource>(resource: R, namespace?: string): TypeOf<R>[] {
    const all = [...this.#objects]
      .filter(([at]) => at.startsWith(`${resource}/`))
      .map(([, object]) => object);
    const chosen = namespace === undefined ? all : all.filter((o) => o.metadata.namespace === namespace);
    return chosen as TypeOf<R>[];
  }

  subscribe(listener: (change: Change) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Lists and watches until {@link stop}, across restarts of the API server. */
  async #follow(resource: ViewedResource, onListed: () => void): Promise<void> {
    while (!this.#stopped) {
      const ended = this.#rest.get(paths[resource]).then(({ items, metadata }) => {
        this.#listed(resource, (items ?? []) as Stored[], Number(metadata.resourceVersion));
        onListed();
        const from = `${paths[resource]}?resourceVersion=${metadata.resourceVersion}`;
        return new Promise<void>((resolve) => {
          const onEvent = (event: WatchEvent) => this.#arrived(resource, event);
          this.#stops.set(
            resource,
            this.#rest.watch(from, onEvent, () => resolve()),
          );
        });
      });
      await ended.catch(() => undefined);
      await sleep(20);
    }
  }

  /** What has changed since the last watch ended. */
  #listed(resource: ViewedResource, items: readonly Stored[], version: number): void {
    const now = new Map(items.map((object) => [keyOf(resource, object), object]));
    for (const object of now.values()) this.#hold(resource, object, versionOf(object), false);
    for (const [at, object] of this.#received)
      if (at.startsWith(`${resource}/`) && !now.has(at)) this.#hold(resource, object, version, true);
  }

  #arrived(resource: ViewedResource, { type, object }: WatchEvent): void {
    if (this.#stopped || type === 'BOOKMARK' || type === 'ERROR') return;
    this.#hold(resource, object, versionOf(object), type === 'DELETED');
  }

  #hold(resource: ViewedResource, object: Stored, version: number, gone: boolean): void {
    const at = keyOf(resource, object);
    const known = this.#received.get(at);
    if (!gone && known !== undefined && versionOf(known) === version) return;
    if (gone) this.#received.delete(at);
    else this.#received.set(at, object);
    // A renewed lease is no news.
    if (resource !== 'leases') this.#changedAt = Date.now();
    this.#waiting.push({ arrived: Date.now(), version, resource, object, gone });
  }

  /** Delivers what arrived until then, and whatever was written before that. */
  #deliver(until: number): void {
    const last = Math.max(...this.#waiting.filter(({ arrived }) => arrived <= until).map((w) => w.version));
    const due = this.#waiting.filter(({ version }) => version <= last).sort((a, b) => a.version - b.version);
    this.#waiting = this.#waiting.filter(({ version }) => version > last);
    for (const one of due) this.#publish(one);
  }

  #publish({ resource, object, version, gone }: Waiting): void {
    const at = keyOf(resource, object);
    const before = this.#objects.get(at);
    if (gone) this.#objects.delete(at);
    else this.#objects.set(at, object);
    const type = gone ? 'DELETED' : before === undefined ? 'ADDED' : 'MODIFIED';
    for (const listener of [...this.#listeners]) listener({ type, resource, object, before, version });
  }
}

const key = (resource: string, namespace: string | undefined, name: string): string =>
  `${resource}/${namespace ?? ''}/${name}`;
const keyOf = (resource: string, { metadata }: Stored): string =>
  key(resource, metadata.namespace, metadata.name);
const versionOf = ({ metadata }: Stored): number => Number(metadata.resourceVersion);
