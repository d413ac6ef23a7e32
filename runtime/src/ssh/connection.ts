import { pause, signalOf, type Wait } from '../wait.ts';
import { ConnectionError, type SshOptions, SshSession, type SshTarget } from './session.ts';

/** Options of a {@link NodeConnection}. */
export interface ConnectionOptions extends SshOptions {
  /** How long a node may stay unreachable, milliseconds. */
  readonly reconnectTimeout: number;
  /** Aborts connecting and the work. */
  readonly signal: AbortSignal;
  /** Called with a line for the log, such as a lost connection. */
  readonly onNotice: (notice: string) => void;
}

/** A connection to a node that reconnects when it is lost, until the deadline of `wait`. */
export class NodeConnection {
  readonly #target: SshTarget;
  readonly #options: ConnectionOptions;
  readonly #wait: Wait;
  #session: SshSession | undefined;

  constructor(target: SshTarget, options: ConnectionOptions, wait: Wait) {
    this.#target = target;
    this.#options = options;
    this.#wait = wait;
  }

  /** Closes the connection. May be called twice; a later {@link run} connects again. */
  close(): void {
    this.#session?.close();
    this.#session = undefined;
  }

  /**
   * Sleeps before a command is repeated on a node that can be reached.
   *
   * @param why the command is repeated, for the error.
   * @throws ConnectionError at the deadline.
   */
  async pauseBeforeRepeat(ms: number, why: string): Promise<void> {
    await pause(ms, this.#wait);
    if (Date.now() >= this.#wait.deadline) throw this.#timeLimitError(undefined, why);
  }

  /**
   * Connects and runs `work`; repeats both whenever the connection fails, so `work` must be safe to repeat.
   *
   * @throws ConnectionError when the node stays unreachable for `reconnectTimeout`, or at the deadline; any
   *   other error of `work`.
   */
  async run<T>(work: (session: SshSession, signal: AbortSignal) => Promise<T>): Promise<T> {
    let lostAt: number | undefined;
    let why: string | undefined;
    for (;;) {
      try {
        this.#session ??= await SshSession.open(this.#target, this.#options, this.#options.signal);
        return await work(this.#session, signalOf(this.#wait));
      } catch (error) {
        // A node that accepts the login but no command counts as unreachable.
        if (this.#session?.hasRunCommand) lostAt = why = undefined;
        if (error instanceof ConnectionError) why = error.why;
        this.close();
        const first = lostAt === undefined;
        lostAt ??= Date.now();
        await this.#retryOrThrow(error, lostAt, first, why);
      }
    }
  }

  /**
   * @param why the last attempt since the last accepted command failed.
   * @throws unless reconnecting may help.
   */
  async #retryOrThrow(
    error: unknown,
    lostAt: number,
    first: boolean,
    why: string | undefined,
  ): Promise<void> {
    const { signal, onNotice, reconnectTimeout } = this.#options;
    signal.throwIfAborted();
    // The signal of a wait may fire slightly before the clock reaches the deadline.
    if (Date.now() >= this.#wait.deadline || (error as Error).name === 'TimeoutError')
      throw this.#timeLimitError(error, why);
    if (!(error instanceof ConnectionError)) throw error;
    const lostFor = Date.now() - lostAt;
    if (lostFor > reconnectTimeout) throw error;
    if (first) onNotice(`${error.message}; reconnecting`);
    await pause(Math.min(2_000, 200 + lostFor / 2), this.#wait);
  }

  #timeLimitError(cause: unknown, why: string | undefined): ConnectionError {
    const { user, port } = this.#options;
    const last = why === undefined ? '' : `; last attempt: ${why}`;
    return new ConnectionError({ user, port, ...this.#target }, `no end within the time limit${last}`, cause);
  }
}
