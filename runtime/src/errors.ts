/**
 * How a program ends (F15). Held: only waiting helps. Blocked: a gate is closed and somebody can act.
 * Failed: something went wrong.
 */
export type Outcome = 'done' | 'held' | 'blocked' | 'failed';

/** Every outcome, best first: one metric label value each. */
export const outcomes: readonly Outcome[] = ['done', 'held', 'blocked', 'failed'];

/**
 * Exit codes; the Job's `podFailurePolicy` reads them. `badInput` ends a program before it changes anything.
 * Any other code is a crash.
 */
export const exitCodes = { done: 0, held: 0, failed: 1, badInput: 2, blocked: 3 } as const;

/** Key of {@link exitCodes}. */
export type ErrorCode = keyof typeof exitCodes;

interface ErrorOptions {
  /** What the operator can do, usually the next command to type. */
  readonly hint?: string;
  /** The error behind this one. */
  readonly cause?: unknown;
}

/** Base class of every expected error; anything else that is thrown is a crash. */
export class UpgradeError extends Error {
  /** Decides the exit code. */
  readonly code: ErrorCode;
  /** What the operator can do; printed after the message. */
  readonly hint: string | undefined;

  constructor(code: ErrorCode, message: string, options: ErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'UpgradeError';
    this.code = code;
    this.hint = options.hint;
  }
}

const outcomeOfCode: Readonly<Record<ErrorCode, Outcome>> = {
  done: 'done',
  held: 'held',
  blocked: 'blocked',
  failed: 'failed',
  badInput: 'failed',
};

/**
 * The outcome of a run or a detection that threw `error`. Bad input and unexpected errors count as failed.
 */
export const outcomeOf = (error: unknown): Outcome =>
  error instanceof UpgradeError ? outcomeOfCode[error.code] : 'failed';

/** Bad input; nothing was changed. The message names the field, what was given and what is allowed. */
export class InputError extends UpgradeError {
  constructor(field: string, given: unknown, allowed: string) {
    const shown = typeof given === 'string' ? JSON.stringify(given) : String(given);
    super('badInput', `${field}: ${shown} is not allowed; expected ${allowed}`);
    this.name = 'InputError';
  }
}

/** Somebody can act: a gate is closed, or another run holds the lease. */
export class BlockedError extends UpgradeError {
  /** Every reason, not only the first. */
  readonly reasons: readonly string[];

  constructor(message: string, reasons: readonly string[], options: ErrorOptions = {}) {
    super(
      'blocked',
      reasons.length > 0 ? `${message}:\n${reasons.map((r) => `  - ${r}`).join('\n')}` : message,
      options,
    );
    this.name = 'BlockedError';
    this.reasons = reasons;
  }
}
