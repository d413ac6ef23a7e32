import { constants } from 'node:os';

export interface Signals {
  /** SIGTERM or Ctrl-C: stop at the next safe point, put back what can be put back. */
  readonly stop: AbortSignal;
  /** A second one: stop at once. */
  readonly kill: AbortSignal;
}

/** The program was asked to stop. Its exit code is the shell's for that signal, which a Job takes as a crash and restarts. */
export class Interrupted extends Error {
  readonly exitCode: number;

  constructor(signal: NodeJS.Signals) {
    super(`interrupted by ${signal}; the next run continues from here`);
    this.name = 'Interrupted';
    this.exitCode = 128 + constants.signals[signal];
  }
}

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
