import { setTimeout as sleep } from 'node:timers/promises';
import type { Rest } from '../lab/api/contract/rest.ts';
import type { Node as NodeObject } from '../lab/api/types.ts';

/** Watches how long each node is cordoned. Asks every 100 ms. */
export class Cordons {
  readonly #rest: Rest;
  /** Milliseconds by node. */
  readonly #total = new Map<string, number>();
  /** When a node that is cordoned now was seen so first, Unix milliseconds. */
  readonly #since = new Map<string, number>();
  readonly #watching: Promise<void>;
  #stopped = false;

  constructor(rest: Rest) {
    this.#rest = rest;
    this.#watching = this.#watch();
  }

  /** Ends the watch. Resolves with the milliseconds for which each node was cordoned, by its name. */
  async stop(): Promise<Record<string, number>> {
    this.#stopped = true;
    await this.#watching;
    return Object.fromEntries(this.#total);
  }

  async #watch(): Promise<void> {
    for (; !this.#stopped; await sleep(100)) {
      // The API server goes and comes back; nothing is cordoned or uncordoned in the meantime.
      const nodes = await this.#rest.get('/api/v1/nodes').catch(() => undefined);
      for (const node of (nodes?.items ?? []) as NodeObject[]) this.#note(node, Date.now());
    }
  }

  #note({ metadata: { name }, spec }: NodeObject, now: number): void {
    const since = this.#since.get(name);
    if (spec?.unschedulable === true) this.#since.set(name, since ?? now);
    else if (since !== undefined) {
      this.#total.set(name, (this.#total.get(name) ?? 0) + now - since);
      this.#since.delete(name);
    }
  }
}
