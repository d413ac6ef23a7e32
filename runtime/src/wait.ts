import { setTimeout as sleep } from 'node:timers/promises';
import { formatDuration } from './duration.ts';
import { UpgradeError } from './errors.ts';

/** Every wait has an end and can be called off. */
export interface Wait {
  /** Epoch milliseconds. */
  readonly deadline: number;
  readonly signal: AbortSignal;
}

/** A wait that ends `ms` from now. */
export const within = (ms: number, signal: AbortSignal): Wait => ({ deadline: Date.now() + ms, signal });

/** An AbortSignal that fires when the wait is over or called off. */
export function signalOf(wait: Wait): AbortSignal {
  return timeLimit(Math.max(0, Math.ceil(wait.deadline - Date.now())), wait.signal);
}

/** An AbortSignal that fires `ms` from now, or with the other one. Does not keep the process alive. */
export function timeLimit(ms: number, signal: AbortSignal): AbortSignal {
  const limit = AbortSignal.timeout(ms);
  // What AbortSignal.any combines it holds weakly, and Node.js 20 keeps only a time-out that somebody listens to: without this
  // the garbage collector takes the limit away (nodejs/node#57736).
  limit.addEventListener('abort', () => {}, { once: true });
  return AbortSignal.any([signal, limit]);
}

/** A deadline has passed. `pending` says what was still missing. */
export class TimeoutError extends UpgradeError {
  readonly pending: readonly string[];

  constructor(what: string, ms: number, pending: readonly string[] = []) {
    const rest = pending.length > 0 ? `; still pending: ${pending.join(', ')}` : '';
    super('failed', `${what}: gave up after ${formatDuration(ms)}${rest}`);
    this.name = 'TimeoutError';
    this.pending = pending;
  }
}

/** Sleeps at most until the deadline; rejects with the signal's reason when called off. */
export async function pause(ms: number, wait: Wait): Promise<void> {
  wait.signal.throwIfAborted();
  await sleep(Math.max(0, Math.min(ms, wait.deadline - Date.now())), undefined, {
    signal: wait.signal,
  }).catch(() => {
    wait.signal.throwIfAborted();
  });
}
