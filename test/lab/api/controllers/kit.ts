import { randomBytes } from 'node:crypto';
import type { Registry } from '../registry.ts';
import { resourceNamed } from '../resources.ts';
import { StatusError } from '../status.ts';
import { now, type Store } from '../store.ts';
import type { Condition, KubeObject, Stored } from '../types.ts';

/** Durations in the lab, in milliseconds. */
export interface Timings {
  /** From a change until a controller acts on it. */
  reconcile: number;
  /** From binding a pod until it is running and ready. */
  podStart: number;
  /** From deleting a pod until it has stopped; at most its grace period. */
  podStop: number;
  /** Run time of Job pods that are not processes. */
  podRun: number;
  /** Delay before the first replacement of a failed Job pod; doubles with each failure. */
  jobBackoff: number;
  /** Upper limit of that delay. */
  jobBackoffMax: number;
  /** Between two bookmarks of a watch. */
  bookmark: number;
}

/** The durations that apply unless others are given. */
export const defaultTimings: Timings = {
  reconcile: 5,
  podStart: 150,
  podStop: 150,
  podRun: 300,
  jobBackoff: 200,
  jobBackoffMax: 5000,
  bookmark: 10_000,
};

interface EventText {
  readonly type?: 'Normal' | 'Warning';
  readonly reason: string;
  readonly message: string;
  readonly component: string;
}

/** What controllers share: the registry, timers that are cancelled when the lab stops, Events. */
export class Kit {
  readonly registry: Registry;
  readonly timings: Timings;
  readonly #timers = new Set<NodeJS.Timeout>();
  readonly #work = new Set<NodeJS.Timeout>();
  readonly #whenSettled: (() => void)[] = [];
  #stopped = false;

  constructor(registry: Registry, timings: Timings) {
    this.registry = registry;
    this.timings = timings;
  }

  get store(): Store {
    return this.registry.store;
  }

  /** Whether the lab has stopped. */
  get stopped(): boolean {
    return this.#stopped;
  }

  /** Runs `work` once after `ms`, unless the lab stops first. Returns a function that cancels it. */
  later(ms: number, work: () => void): () => void {
    return this.#schedule(ms, work, true);
  }

  /** Like {@link later}, but {@link settled} does not wait for it. */
  deadline(ms: number, work: () => void): () => void {
    return this.#schedule(ms, work, false);
  }

  /** Resolves when no controller has work left. Does not wait for running processes. */
  async settled(): Promise<void> {
    while (this.#work.size > 0) await new Promise<void>((resolve) => this.#whenSettled.push(resolve));
  }

  /**
   * Runs `work` and never throws. Ignores a StatusError, which is expected in a controller; logs other
   * errors.
   */
  guard(work: () => void): void {
    try {
      work();
    } catch (error) {
      if (!(error instanceof StatusError)) console.error('lab controller:', error);
    }
  }

  /** Cancels all timers and resolves pending {@link settled}. */
  stop(): void {
    this.#stopped = true;
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers.clear();
    this.#work.clear();
    this.#settle();
  }

  #schedule(ms: number, work: () => void, counted: boolean): () => void {
    if (this.#stopped) return () => undefined;
    const timer = setTimeout(() => {
      this.guard(work);
      cancel();
    }, ms);
    const cancel = () => {
      clearTimeout(timer);
      this.#timers.delete(timer);
      this.#work.delete(timer);
      if (this.#work.size === 0) this.#settle();
    };
    this.#timers.add(timer);
    if (counted) this.#work.add(timer);
    return cancel;
  }

  #settle(): void {
    for (const resolve of this.#whenSettled.splice(0)) resolve();
  }

  /**
   * A work queue that removes duplicates. Returns a function that adds a key; `delay` in ms. A key that is
   * already waiting is reconciled once, at the earlier of the two times.
   */
  queue(reconcile: (key: string) => void): (key: string, delay?: number) => void {
    const waiting = new Map<string, { at: number; cancel: () => void }>();
    return (key, delay = this.timings.reconcile) => {
      const at = Date.now() + delay;
      const known = waiting.get(key);
      if (known !== undefined && known.at <= at) return;
      known?.cancel();
      const cancel = this.later(delay, () => {
        waiting.delete(key);
        reconcile(key);
      });
      waiting.set(key, { at, cancel });
    };
  }

  /** Records an Event; a repetition only increments the count of the first. */
  event(about: Stored, text: EventText): void {
    const namespace = about.metadata.namespace ?? 'default';
    const same = this.store
      .list('events', namespace)
      .find(
        (e) =>
          e.involvedObject.uid === about.metadata.uid &&
          e.reason === text.reason &&
          e.message === text.message,
      );
    if (same !== undefined) {
      this.store.modify('events', namespace, same.metadata.name, (e) => {
        e.count = (e.count ?? 1) + 1;
        e.lastTimestamp = now();
      });
      return;
    }
    const event: KubeObject = {
      metadata: { name: `${about.metadata.name}.${randomBytes(8).toString('hex')}` },
      involvedObject: {
        apiVersion: about.apiVersion,
        kind: about.kind,
        name: about.metadata.name,
        ...(about.metadata.namespace === undefined ? {} : { namespace }),
        uid: about.metadata.uid,
        resourceVersion: about.metadata.resourceVersion,
      },
      type: text.type ?? 'Normal',
      reason: text.reason,
      message: text.message,
      source: { component: text.component },
      reportingComponent: text.component,
      firstTimestamp: now(),
      lastTimestamp: now(),
      count: 1,
    };
    this.guard(() => this.registry.create(resourceNamed('events'), namespace, event));
  }
}

/** Adds or replaces a condition. `lastTransitionTime` changes only when the status does. */
export function withCondition<C extends Condition>(
  list: readonly C[] | undefined,
  condition: Condition,
): C[] {
  const before = (list ?? []).find((c) => c.type === condition.type);
  const lastTransitionTime =
    before?.status === condition.status ? (before.lastTransitionTime ?? now()) : now();
  const next = { ...condition, lastTransitionTime } as C;
  if (before === undefined) return [...(list ?? []), next];
  return (list ?? []).map((c) => (c.type === condition.type ? next : c));
}

/** The owner reference to the object's controller, if any. */
export function controllerOf(object: Stored): { kind: string; name: string; uid: string } | undefined {
  return object.metadata.ownerReferences?.find((o) => o.controller === true);
}
