import { pause, signalOf, type Wait } from '../wait.ts';
import { ConnectionError, type SshOptions, SshSession, type SshTarget } from './session.ts';

export interface ConnectionOptions extends SshOptions {
  /** How long a node may stay unreachable, milliseconds. */
  readonly reconnectTimeout: number;
  readonly signal: AbortSignal;
  /** Something the log should have, such as a lost connection. */
  readonly onNotice: (notice: string) => void;
}

/** The way to a node for one piece of work: one connection, and another one whenever it is lost. */
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

  close(): void {
    this.#session?.close();
    this.#session = undefined;
  }

  /** Before the same is asked again of a node that answers. @throws when the time is over, with why it was asked again. */
  async rest(ms: number, why: string): Promise<void> {
    await pause(ms, this.#wait);
    if (Date.now() >= this.#wait.deadline) throw this.#over(undefined, why);
  }

  /** Does `work`, again and again while the connection is what fails. */
  async run<T>(work: (session: SshSession, signal: AbortSignal) => Promise<T>): Promise<T> {
    let lostAt: number | undefined;
    let why: string | undefined;
    for (;;) {
      try {
        this.#session ??= await SshSession.open(this.#target, this.#options, this.#options.signal);
        return await work(this.#session, signalOf(this.#wait));
      } catch (error) {
        // A node that lets one in and takes no command is as good as away.
        if (this.#session?.worked) lostAt = why = undefined;
        if (error instanceof ConnectionError) why = error.why;
        this.close();
        const first = lostAt === undefined;
        lostAt ??= Date.now();
        await this.#retryOrThrow(error, lostAt, first, why);
      }
    }
  }

  /**
   * @param why the node cannot be reached, since it last took a command.
   * @throws unless connecting again may help.
   */
  async #retryOrThrow(
    error: unknown,
    lostAt: number,
    first: boolean,
    why: string | undefined,
  ): Promise<void> {
    const { signal, onNotice, reconnectTimeout } = this.#options;
    signal.throwIfAborted();
    // The signal of a wait may fire a moment before the clock says so.
    if (Date.now() >= this.#wait.deadline || (error as Error).name === 'TimeoutError')
      throw this.#over(error, why);
    if (!(error instanceof ConnectionError)) throw error;
    const lostFor = Date.now() - lostAt;
    if (lostFor > reconnectTimeout) throw error;
    if (first) onNotice(`${error.message}; connecting again`);
    await pause(Math.min(2_000, 200 + lostFor / 2), this.#wait);
  }

  #over(cause: unknown, why: string | undefined): ConnectionError {
    const { user, port } = this.#options;
    const last = why === undefined ? '' : `; the last connection: ${why}`;
    return new ConnectionError({ user, port, ...this.#target }, `no end within its time limit${last}`, cause);
  }
}
