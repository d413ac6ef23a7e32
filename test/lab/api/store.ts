import { randomUUID } from 'node:crypto';
import { resourceNamed } from './resources.ts';
import { alreadyExists, notFound } from './status.ts';
import type { KubeObject, Stored, TypeOf } from './types.ts';

/** One change in the store. */
export interface Change {
  /** As in watch events. */
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED';
  /** Plural, such as `pods`. */
  readonly resource: string;
  /** The object after the change; its last state for DELETED. */
  readonly object: Stored;
  /** The object before the change; undefined for ADDED. */
  readonly before: Stored | undefined;
  /** The resourceVersion of this change. */
  readonly version: number;
}

type Listener = (change: Change) => void;

/** How many changes the history keeps at most; a watch from an older version is answered with 410. */
const historyLimit = 5000;

/** The current time in whole seconds, RFC 3339. */
export const now = (): string => new Date().toISOString().replace(/\.\d+Z$/, 'Z');

/**
 * etcd and watch cache in one: objects by resource, namespace and name, one version counter, a bounded
 * history. Returned objects are frozen; change them with {@link modify}. The store validates nothing; the
 * registry does.
 */
export class Store {
  readonly #objects = new Map<string, Map<string, Stored>>();
  readonly #listeners = new Set<Listener>();
  readonly #queue: Change[] = [];
  #history: Change[] = [];
  #version = 1000;
  #delivering = false;

  /** The resourceVersion of the latest change. */
  get version(): number {
    return this.#version;
  }

  /** The object, or undefined when there is none. `namespace` is undefined for cluster-scoped resources. */
  get<R extends string>(resource: R, namespace: string | undefined, name: string): TypeOf<R> | undefined {
    return this.#objects.get(resource)?.get(key(namespace, name)) as TypeOf<R> | undefined;
  }

  /** All objects of the resource, or those in one namespace, in creation order. */
  list<R extends string>(resource: R, namespace?: string): TypeOf<R>[] {
    const all = [...(this.#objects.get(resource)?.values() ?? [])];
    const chosen = namespace === undefined ? all : all.filter((o) => o.metadata.namespace === namespace);
    return chosen as TypeOf<R>[];
  }

  /** The resources that have or had objects. */
  resources(): string[] {
    return [...this.#objects.keys()];
  }

  /**
   * Adds the object with a new version, and a new uid unless it has one.
   * @throws StatusError 409 when it exists
   */
  create<R extends string>(resource: R, object: KubeObject): TypeOf<R> {
    const name = object.metadata?.name ?? '';
    const owner = resourceNamed(resource);
    const objects = this.#objects.get(resource) ?? new Map<string, Stored>();
    this.#objects.set(resource, objects);
    const at = key(object.metadata?.namespace, name);
    if (objects.has(at)) throw alreadyExists(owner, name);
    const stored = freeze({
      ...structuredClone(object),
      metadata: {
        ...structuredClone(object.metadata),
        uid: object.metadata?.uid ?? randomUUID(),
        creationTimestamp: object.metadata?.creationTimestamp ?? now(),
        resourceVersion: String(this.#version + 1),
      },
    } as Stored);
    objects.set(at, stored);
    this.#record('ADDED', resource, stored, undefined);
    return stored as TypeOf<R>;
  }

  /** Replaces the object of the same name. Without a change the version stays. @throws StatusError 404 */
  replace<R extends string>(resource: R, object: Stored): TypeOf<R> {
    const { namespace, name } = object.metadata;
    const before = this.get(resource, namespace, name) as Stored | undefined;
    if (before === undefined) throw notFound(resourceNamed(resource), name);
    const unchanged = { ...object, metadata: { ...object.metadata, resourceVersion: '' } };
    const previous = { ...before, metadata: { ...before.metadata, resourceVersion: '' } };
    if (same(unchanged, previous)) return before as TypeOf<R>;
    const stored = structuredClone(object);
    stored.metadata.resourceVersion = String(this.#version + 1);
    this.#objects.get(resource)?.set(key(namespace, name), freeze(stored));
    this.#record('MODIFIED', resource, stored, before);
    return stored as TypeOf<R>;
  }

  /**
   * Reads the object, passes a copy to `change` and stores it. Returns undefined when there is no such
   * object.
   */
  modify<R extends string>(
    resource: R,
    namespace: string | undefined,
    name: string,
    change: (object: TypeOf<R>) => void,
  ): TypeOf<R> | undefined {
    const current = this.get(resource, namespace, name);
    if (current === undefined) return undefined;
    const copy = structuredClone(current);
    change(copy);
    return this.replace(resource, copy as unknown as Stored);
  }

  /** Removes the object immediately, regardless of finalizers. Returns undefined when there is none. */
  remove<R extends string>(resource: R, namespace: string | undefined, name: string): TypeOf<R> | undefined {
    const before = this.get(resource, namespace, name) as Stored | undefined;
    if (before === undefined) return undefined;
    this.#objects.get(resource)?.delete(key(namespace, name));
    const last = structuredClone(before);
    last.metadata.resourceVersion = String(this.#version + 1);
    this.#record('DELETED', resource, freeze(last), before);
    return last as TypeOf<R>;
  }

  /** Every change after `version`, or undefined when the history does not reach back that far. */
  since(version: number): readonly Change[] | undefined {
    const oldest = this.#history[0]?.version ?? this.#version + 1;
    if (version + 1 < oldest) return undefined;
    return this.#history.filter((c) => c.version > version);
  }

  /** Drops the history, like a compaction of etcd: watches from older versions are answered with 410. */
  compact(): void {
    this.#history = [];
  }

  /**
   * Calls the listener for every change in order, including changes by listeners. Returns a function that
   * unsubscribes it.
   */
  subscribe(listener: Listener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #record(type: Change['type'], resource: string, object: Stored, before: Stored | undefined): void {
    this.#version += 1;
    const change = { type, resource, object, before, version: this.#version };
    this.#history.push(change);
    if (this.#history.length > historyLimit) this.#history = this.#history.slice(historyLimit / 5);
    this.#queue.push(change);
    this.#deliver();
  }

  #deliver(): void {
    if (this.#delivering) return;
    this.#delivering = true;
    try {
      for (let next = this.#queue.shift(); next !== undefined; next = this.#queue.shift()) {
        for (const listener of [...this.#listeners]) listener(next);
      }
    } finally {
      this.#delivering = false;
    }
  }
}

const key = (namespace: string | undefined, name: string): string => `${namespace ?? ''}/${name}`;

/** Deep equality of two JSON values; the order of keys does not matter. */
export function same(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  if (Array.isArray(a) !== Array.isArray(b)) return false;
  const left = Object.entries(a).filter(([, v]) => v !== undefined);
  const right = Object.entries(b).filter(([, v]) => v !== undefined);
  const other = b as Record<string, unknown>;
  return left.length === right.length && left.every(([k, v]) => same(v, other[k]));
}

function freeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    for (const child of Object.values(value)) freeze(child);
  }
  return value;
}
