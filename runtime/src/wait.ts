import { setTimeout as sleep } from 'node:timers/promises';
import { formatDuration } from './duration.ts';
import { UpgradeError } from './errors.ts';

/** How long to wait, and how to abort it. */
export interface Wait {
  /** Epoch milliseconds. */
  readonly deadline: number;
  /** Aborts the wait. */
  readonly signal: AbortSignal;
}

/** A wait that ends `ms` from now. */
export const within = (ms: number, signal: AbortSignal): Wait => ({ deadline: Date.now() + ms, signal });

/** An AbortSignal that fires at the deadline of the wait or when the wait is aborted. */
export function signalOf(wait: Wait): AbortSignal {
  return timeLimit(Math.max(0, Math.ceil(wait.deadline - Date.now())), wait.signal);
}

/** An AbortSignal that fires `ms` from now or together with `signal`. Does not keep the process alive. */
export function timeLimit(ms: number, signal: AbortSignal): AbortSignal {
  const limit = AbortSignal.timeout(ms);
  // AbortSignal.any refers to its sources weakly, and Node.js 20 keeps a time-out alive only while it has a
  // listener: without this listener the limit is garbage collected and never fires (nodejs/node#57736).
  limit.addEventListener('abort', () => {}, { once: true });
  return AbortSignal.any([signal, limit]);
}

/** A deadline has passed. */
export class TimeoutError extends UpgradeError {
  /** What was still missing at the deadline. */
  readonly pending: readonly string[];

  constructor(what: string, ms: number, pending: readonly string[] = []) {
    const rest = pending.length > 0 ? `; still pending: ${pending.join(', ')}` : '';
    super('failed', `${what}: gave up after ${formatDuration(ms)}${rest}`);
    this.name = 'TimeoutError';
    this.pending = pending;
  }
}

/** Sleeps `ms`, but at most until the deadline. @throws the signal's reason when aborted. */
export async function pause(ms: number, wait: Wait): Promise<void> {
  wait.signal.throwIfAborted();
  await sleep(Math.max(0, Math.min(ms, wait.deadline - Date.now())), undefined, {
    signal: wait.signal,
  }).catch(() => {
    wait.signal.throwIfAborted();
  });
}
