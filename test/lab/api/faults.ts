import type { CallGate } from '../call-gate.ts';

/** The requests that a fault applies to. All given fields must match; an absent field matches everything. */
export interface FaultMatch {
  /** RBAC verb, such as `patch`. */
  readonly verb?: string;
  /** Plural, such as `pods`. */
  readonly resource?: string;
  /** Such as `eviction`; the empty string matches the object itself. */
  readonly subresource?: string;
  /** Name of the object. */
  readonly name?: string;
  /** Matched against path and query. */
  readonly path?: RegExp;
  /** User name, such as `system:serviceaccount:k8s-upgrade:k8s-version-upgrade`. */
  readonly user?: string;
}

/** What happens to a request. */
export type FaultAction =
  /** Delays handling and answer by this time. */
  | { readonly latencyMs: number }
  /** Answers with this code; the request has no effect. `retryAfter` in seconds. */
  | { readonly status: 429 | 500 | 502 | 503 | 504; readonly retryAfter?: number }
  /** Cuts the connection before or after the request takes effect. */
  | { readonly reset: 'before' | 'after' }
  /** The request takes effect immediately; the answer is delayed by this time. */
  | { readonly silenceMs: number };

/** One fault to inject. */
export interface Fault {
  /** The requests it applies to. */
  readonly match: FaultMatch;
  /** How many requests it applies to. @default all */
  readonly times?: number;
  /** What happens to them. */
  readonly action: FaultAction;
}

/** What a request looks like to {@link FaultMatch}. */
export interface FaultSubject {
  readonly verb: string;
  readonly resource: string;
  readonly subresource: string;
  readonly name: string;
  readonly path: string;
  readonly user: string;
}

interface Armed {
  readonly fault: Fault;
  left: number;
}

/** Faults injected into the API server. The first one that matches applies. */
export class Faults {
  /** Sees every request before the faults do. */
  gate: CallGate | undefined;
  #armed: Armed[] = [];

  /** Arms a fault. Returns a function that disarms it. */
  add(fault: Fault): () => void {
    const armed = { fault, left: fault.times ?? Number.POSITIVE_INFINITY };
    this.#armed.push(armed);
    return () => {
      this.#armed = this.#armed.filter((a) => a !== armed);
    };
  }

  /** Disarms all faults. */
  clear(): void {
    this.#armed = [];
  }

  /** Returns the action for this request and counts the fault as used once. */
  take(subject: FaultSubject): FaultAction | undefined {
    const armed = this.#armed.find((a) => a.left > 0 && matches(a.fault.match, subject));
    if (armed === undefined) return undefined;
    armed.left -= 1;
    return armed.fault.action;
  }
}

function matches({ path, ...fields }: FaultMatch, subject: FaultSubject): boolean {
  if (path !== undefined && !path.test(subject.path)) return false;
  return Object.entries(fields).every(([k, v]) => v === undefined || Reflect.get(subject, k) === v);
}
