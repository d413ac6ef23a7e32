import type { AllowedBy } from './auth/rbac.ts';

/** One request, as the server saw it. */
export interface RequestRecord {
  /** When it arrived. */
  readonly time: Date;
  /** User name, such as `system:serviceaccount:k8s-upgrade:k8s-version-upgrade`. */
  readonly user: string;
  /** RBAC verb: get, list, watch, create, update, patch, delete, deletecollection. */
  readonly verb: string;
  /** API group; empty for the core group. */
  readonly group: string;
  /** Plural; empty for a path that is not a resource. */
  readonly resource: string;
  /** Such as `status`; empty for the object itself. */
  readonly subresource: string;
  /** Empty for cluster-scoped resources and for all namespaces. */
  readonly namespace: string;
  /** Name of the object; empty for a collection. */
  readonly name: string;
  /** Path of the URL, without the query. */
  readonly path: string;
  /** Whether the request has no effect (`dryRun=All`). */
  readonly dryRun: boolean;
  /** HTTP status; 0 when the connection was cut without an answer. */
  readonly status: number;
  /** The rule that allowed it; undefined when it was refused or not authorized yet. */
  readonly allowedBy: AllowedBy | undefined;
}

type Listener = (record: RequestRecord) => void;

/**
 * Every request that was answered or cut, oldest first. A watch is recorded when it starts. Requests that
 * were refused because a starting server had not read the roles yet are kept separately in {@link early}:
 * they do not show what the roles allow.
 */
export class RequestLog {
  readonly #records: RequestRecord[] = [];
  readonly #early: RequestRecord[] = [];
  readonly #listeners = new Set<Listener>();

  /** All requests except {@link early}. */
  get all(): readonly RequestRecord[] {
    return this.#records;
  }

  /** Requests refused before the server had read the roles. */
  get early(): readonly RequestRecord[] {
    return this.#early;
  }

  /** The requests whose fields equal all the given ones. */
  matching(fields: Partial<RequestRecord>): RequestRecord[] {
    const wanted = Object.entries(fields);
    return this.#records.filter((r) => wanted.every(([k, v]) => Reflect.get(r, k) === v));
  }

  /** Calls the listener for each new request. Returns a function that unsubscribes it. */
  subscribe(listener: Listener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Removes all records; listeners stay. */
  clear(): void {
    this.#records.length = 0;
    this.#early.length = 0;
  }

  addEarly(record: RequestRecord): void {
    this.#early.push(record);
  }

  add(record: RequestRecord): void {
    this.#records.push(record);
    for (const listener of this.#listeners) listener(record);
  }
}
