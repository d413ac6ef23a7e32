import { randomBytes } from 'node:crypto';
import type { Registry } from '../registry.ts';
import { resourceNamed } from '../resources.ts';
import { StatusError } from '../status.ts';
import { now, type Store } from '../store.ts';
import type { Condition, KubeObject, Stored } from '../types.ts';

/** How long things take in the lab, in milliseconds. */
export interface Timings {
  /** From a change until a controller acts on it. */
  reconcile: number;
  /** From bound until running and ready. */
  podStart: number;
  /** From the request to stop until stopped; never longer than the grace period. */
  podStop: number;
  /** Run time of Job pods that are no process. */
  podRun: number;
  /** Before the first replacement of a failed Job pod; doubles up to the maximum. */
  jobBackoff: number;
  jobBackoffMax: number;
  /** Between two bookmarks of a watch. */
  bookmark: number;
}

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

/** What controllers share: the registry, timers that end with the lab, Events. */
export class Kit {
  readonly registry: Registry;
  readonly timings: Timings;
  readonly #timers = new Set<NodeJS.Timeout>();
  readonly #work = new Set<NodeJS.Timeout>();
  readonly #idle: (() => void)[] = [];
  #stopped = false;

  constructor(registry: Registry, timings: Timings) {
    this.registry = registry;
    this.timings = timings;
  }

  get store(): Store {
    return this.registry.store;
  }

  get stopped(): boolean {
    return this.#stopped;
  }

  /** Runs `work` once, unless the lab ends before. Returns how to cancel. */
  later(ms: number, work: () => void): () => void {
    return this.#schedule(ms, work, true);
  }

  /** As {@link later}, but {@link settled} does not wait for it: deadlines. */
  deadline(ms: number, work: () => void): () => void {
    return this.#schedule(ms, work, false);
  }

  /** Resolves when no controller has anything left to do. Running processes are not waited for. */
  async settled(): Promise<void> {
    while (this.#work.size > 0) await new Promise<void>((resolve) => this.#idle.push(resolve));
  }

  /** Runs `work`; an error of the API is normal life, any other is reported. */
  guard(work: () => void): void {
    try {
      work();
    } catch (error) {
      if (!(error instanceof StatusError)) console.error('lab controller:', error);
    }
  }

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
    for (const resolve of this.#idle.splice(0)) resolve();
  }

  /** A queue of keys: each is reconciled soon after it was added, however often that was. */
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

  /** Records an Event; the same one again only counts up. */
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

/** The list with the condition in it; the transition time moves only with the status. */
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

/** The owner that controls the object, as a key. */
export function controllerOf(object: Stored): { kind: string; name: string; uid: string } | undefined {
  return object.metadata.ownerReferences?.find((o) => o.controller === true);
}
