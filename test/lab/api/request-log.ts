import type { AllowedBy } from './auth/rbac.ts';

export interface RequestRecord {
  /** When it arrived. */
  readonly time: Date;
  readonly user: string;
  /** As RBAC calls it: get, list, watch, create, update, patch, delete, deletecollection. */
  readonly verb: string;
  readonly group: string;
  /** Empty for a path that is no resource. */
  readonly resource: string;
  readonly subresource: string;
  readonly namespace: string;
  readonly name: string;
  readonly path: string;
  readonly dryRun: boolean;
  /** 0 when the connection was cut without an answer. */
  readonly status: number;
  readonly allowedBy: AllowedBy | undefined;
}

type Listener = (record: RequestRecord) => void;

/**
 * Every request that was answered or cut, oldest first. A watch is recorded when it begins. Apart are those that were refused because
 * the server had just started and had not read the roles: that says nothing of what the roles allow.
 */
export class RequestLog {
  readonly #records: RequestRecord[] = [];
  readonly #early: RequestRecord[] = [];
  readonly #listeners = new Set<Listener>();

  get all(): readonly RequestRecord[] {
    return this.#records;
  }

  /** Refused before the roles were read. */
  get early(): readonly RequestRecord[] {
    return this.#early;
  }

  /** Those that have all the given fields. */
  matching(fields: Partial<RequestRecord>): RequestRecord[] {
    const wanted = Object.entries(fields);
    return this.#records.filter((r) => wanted.every(([k, v]) => Reflect.get(r, k) === v));
  }

  /** Returns how to stop. */
  subscribe(listener: Listener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

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
