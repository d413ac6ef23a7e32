import { constants } from 'node:os';

/** SIGTERM and SIGINT (Ctrl-C) as abort signals; the reason is an {@link Interrupted}. */
export interface Signals {
  /** Fires at the first: stop at the next safe point and undo what can be undone. */
  readonly stop: AbortSignal;
  /** Fires at the second, or 20 s after the first: stop at once. */
  readonly kill: AbortSignal;
}

/**
 * Milliseconds after the first signal until the program gives up what it still has to undo, and until it ends
 * in any case, for example while a service does not answer. The kubelet kills a pod after 30 s, its default.
 */
const limits = { kill: 20_000, exit: 25_000 };

/** A signal stopped the program. A Job treats the exit code as a crash and starts a new process. */
export class Interrupted extends Error {
  /** 128 plus the number of the signal, as in a shell. */
  readonly exitCode: number;

  constructor(signal: NodeJS.Signals) {
    super(`interrupted by ${signal}; the next run continues from here`);
    this.name = 'Interrupted';
    this.exitCode = 128 + constants.signals[signal];
  }
}

/** Listens for signals; Node.js then no longer ends the process itself. Call it once. */
export function watchSignals(emitter: NodeJS.Process): Signals {
  const stop = new AbortController();
  const kill = new AbortController();
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    emitter.on(signal, () => {
      const reason = new Interrupted(signal);
      if (stop.signal.aborted) return kill.abort(reason);
      stop.abort(reason);
      setTimeout(() => kill.abort(reason), limits.kill).unref();
      setTimeout(() => {
        emitter.stderr.write(`${reason.message}\n`);
        emitter.exit(reason.exitCode);
      }, limits.exit).unref();
    });
  }
  return { stop: stop.signal, kill: kill.signal };
}
