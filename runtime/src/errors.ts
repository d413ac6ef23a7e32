/**
 * How a program ends (F15). Held: nothing to do but wait. Blocked: a gate is closed and somebody can act.
 * Failed: something went wrong. The exit codes are read by the Job's `podFailurePolicy`.
 */
export type Outcome = 'done' | 'held' | 'blocked' | 'failed';

export const outcomes: readonly Outcome[] = ['done', 'held', 'blocked', 'failed'];

/** Exit codes. `badInput` ends a program before it touches anything. Any other code is a crash. */
export const exitCodes = { done: 0, held: 0, failed: 1, badInput: 2, blocked: 3 } as const;

export type ErrorCode = keyof typeof exitCodes;

interface ErrorOptions {
  /** What the operator can do, usually the next command to type. */
  readonly hint?: string;
  readonly cause?: unknown;
}

/** The only base class: `code` decides the exit code, `hint` what the operator reads next. */
export class UpgradeError extends Error {
  readonly code: ErrorCode;
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

/** How a run or a detection ends that an error has ended; anything but an UpgradeError is a failure, and so is bad input. */
export const outcomeOf = (error: unknown): Outcome =>
  error instanceof UpgradeError ? outcomeOfCode[error.code] : 'failed';

/** Bad input: names the field, what was given, what is allowed. Exit 2, nothing changed. */
export class InputError extends UpgradeError {
  constructor(field: string, given: unknown, allowed: string) {
    const shown = typeof given === 'string' ? JSON.stringify(given) : String(given);
    super('badInput', `${field}: ${shown} is not allowed; expected ${allowed}`);
    this.name = 'InputError';
  }
}

/** A gate is closed or another holds the lease: all reasons, not the first. */
export class BlockedError extends UpgradeError {
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
