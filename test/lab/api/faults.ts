import type { CallGate } from '../call-gate.ts';

/** Which requests a fault takes; every given field must match. */
export interface FaultMatch {
  readonly verb?: string;
  readonly resource?: string;
  readonly subresource?: string;
  readonly name?: string;
  /** Against path and query. */
  readonly path?: RegExp;
  /** User name, such as `system:serviceaccount:k8s-upgrade:k8s-version-upgrade`. */
  readonly user?: string;
}

export type FaultAction =
  /** Handled, and answered, this much later. */
  | { readonly latencyMs: number }
  /** Answered with this code without effect. `retryAfter` in seconds. */
  | { readonly status: 429 | 500 | 502 | 503 | 504; readonly retryAfter?: number }
  /** Connection cut: before the request has an effect, or after it had one. */
  | { readonly reset: 'before' | 'after' }
  /** Takes effect at once and answers this much later. */
  | { readonly silenceMs: number };

export interface Fault {
  readonly match: FaultMatch;
  /** How many requests it takes; all when absent. */
  readonly times?: number;
  readonly action: FaultAction;
}

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

/** What goes wrong on purpose. The first that matches takes the request. */
export class Faults {
  /** Asked about every request, before the faults. */
  gate: CallGate | undefined;
  #armed: Armed[] = [];

  /** Returns how to disarm it. */
  add(fault: Fault): () => void {
    const armed = { fault, left: fault.times ?? Number.POSITIVE_INFINITY };
    this.#armed.push(armed);
    return () => {
      this.#armed = this.#armed.filter((a) => a !== armed);
    };
  }

  clear(): void {
    this.#armed = [];
  }

  /** The action for this request, counted as used. */
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
