import { constants } from 'node:os';

/** SIGTERM and SIGINT (Ctrl-C) as abort signals; the reason is an {@link Interrupted}. */
export interface Signals {
  /** Fires at the first: stop at the next safe point and undo what can be undone. */
  readonly stop: AbortSignal;
  /** Fires at the second: stop at once. */
  readonly kill: AbortSignal;
}

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
      if (stop.signal.aborted) kill.abort(reason);
      stop.abort(reason);
    });
  }
  return { stop: stop.signal, kill: kill.signal };
}
