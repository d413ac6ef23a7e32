import { UpgradeError } from '../errors.ts';
import { pause, signalOf, type Wait, within } from '../wait.ts';
import { detachCodes, followInput, type ScriptName, startInput } from './scripts.ts';
import { ConnectionError, type SshOptions, SshSession, type SshTarget } from './ssh.ts';

/** Work on a node, as root. */
export interface NodeShell {
  /**
   * Runs a node script to its end, through lost connections and reboots: it is detached on the node, joined when it
   * already runs with the same arguments, started once it has ended when it runs with others (a node's role changes with what
   * an earlier process has done), and started again when a reboot took it.
   *
   * @returns its `result: {…}` line, `{}` without one.
   * @throws ScriptError when the script fails.
   */
  script(
    target: SshTarget,
    name: ScriptName,
    args: readonly string[],
    timeout: number,
  ): Promise<Record<string, unknown>>;
  /**
   * Waits for the end of a node script that an earlier process may have left running, whatever its arguments and its exit
   * code; at once where none runs.
   */
  ended(target: SshTarget, name: ScriptName, timeout: number): Promise<void>;
  /**
   * Runs one command that leaves nothing changed; its output whatever its exit code.
   *
   * @param input sent to its standard input.
   */
  read(
    target: SshTarget,
    words: readonly string[],
    input?: string,
  ): Promise<{ code: number; output: string }>;
}

/** A script ended with a non-zero exit code, or could not be run. */
export class ScriptError extends UpgradeError {
  readonly exitCode: number;

  constructor(node: string, name: string, exitCode: number, lines: readonly string[]) {
    const said =
      lines.findLast((line) => line.startsWith('error: '))?.slice('error: '.length) ??
      lines.at(-1) ??
      'no output';
    super('failed', `${name} on ${node} failed with exit code ${exitCode}: ${said}`, {
      hint: `Its log is on ${node} in /var/log/k8s-upgrade/${name}.log.`,
    });
    this.name = 'ScriptError';
    this.exitCode = exitCode;
  }
}

export interface ShellOptions extends SshOptions {
  /** How long a node may stay unreachable while its script runs, milliseconds. */
  readonly reconnectTimeout: number;
  readonly signal: AbortSignal;
  /** Every line that a script prints. */
  readonly onLine: (node: string, script: string, line: string) => void;
  /** Something the log should have, such as a lost connection. */
  readonly onNotice: (notice: string) => void;
  /** Asked before a script is started, once its node can be reached. */
  readonly mayWrite: () => Promise<void>;
}

/** Exit codes from here on are a shell's for a signal, or detach.sh's own. */
const killed = 128;

/** How many lines of a script are kept for its error message. */
const keptLines = 40;

export class SshNodeShell implements NodeShell {
  readonly #options: ShellOptions;

  constructor(options: ShellOptions) {
    this.#options = options;
  }

  async script(target: SshTarget, name: ScriptName, args: readonly string[], timeout: number) {
    const wait = within(timeout, this.#options.signal);
    const log = new ScriptLog(target.node, name, this.#options.onLine);
    const line = new Line(target, this.#options, wait);
    try {
      for (;;) {
        const isOurs = await this.#start(line, target, name, args);
        const code = await this.#followToEnd(line, target, name, log);
        if (isOurs) {
          if (code === 0) return log.result;
          if (code !== detachCodes.lost) throw new ScriptError(target.node, name, code, log.lines);
          this.#options.onNotice(`${name} on ${target.node} was interrupted (a reboot?); starting it again`);
        }
        log.reset();
      }
    } finally {
      line.close();
    }
  }

  async ended(target: SshTarget, name: ScriptName, timeout: number) {
    const line = new Line(target, this.#options, within(timeout, this.#options.signal));
    try {
      await this.#followToEnd(line, target, name, new ScriptLog(target.node, name, this.#options.onLine));
    } finally {
      line.close();
    }
  }

  async read(target: SshTarget, words: readonly string[], input = '') {
    const lines: string[] = [];
    const line = new Line(
      target,
      this.#options,
      within(this.#options.reconnectTimeout, this.#options.signal),
    );
    try {
      const { code } = await line.run((session, signal) => {
        lines.length = 0;
        return session.run(words, input, (text) => lines.push(text), signal);
      });
      return { code: code ?? -1, output: lines.join('\n') };
    } finally {
      line.close();
    }
  }

  /** @returns false when it runs with other arguments: its end is to be waited for first. */
  async #start(line: Line, target: SshTarget, name: ScriptName, args: readonly string[]): Promise<boolean> {
    const lines: string[] = [];
    const words = ['bash', '-s', '--', 'start', name, '--', ...args];
    const input = startInput(name);
    const { code } = await line.run(async (session, signal) => {
      lines.length = 0;
      // Here and not before: the node may have been away for longer than a lease lasts.
      await this.#options.mayWrite();
      return session.run(words, input, (text) => lines.push(text), signal);
    });
    if (code === detachCodes.busy) {
      this.#options.onNotice(
        `${name} on ${target.node} still runs with other arguments; waiting for its end`,
      );
      return false;
    }
    if (code !== 0) throw new ScriptError(target.node, name, code ?? -1, lines);
    return true;
  }

  /**
   * Streams the log from where the last connection left off, until detach.sh says that the script has ended. What follows on the
   * node may be killed there (out of memory), which says nothing of the script: it is followed again.
   *
   * @returns the script's exit code, or `lost`.
   */
  async #followToEnd(line: Line, target: SshTarget, name: ScriptName, log: ScriptLog): Promise<number> {
    return line.run(async (session, signal) => {
      let ended: number | undefined;
      const onLine = (text: string, bytes: number) => {
        const said = bytes === 0 ? /^ended: (\d+)$/.exec(text)?.[1] : undefined;
        if (said === undefined) log.add(text, bytes);
        else ended = Number(said);
      };
      const words = ['bash', '-s', '--', 'follow', name, String(log.bytes)];
      const { code } = await session.run(words, followInput, onLine, signal);
      if (ended !== undefined) return ended;
      if (code === detachCodes.lost) return code;
      const { user, port } = this.#options;
      if (code === undefined || code >= killed)
        throw new ConnectionError({ user, port, ...target }, `what followed ${name} there was killed`);
      throw new ScriptError(target.node, name, code, log.lines);
    });
  }
}

/** The way to a node for one piece of work: one connection, and another one whenever it is lost. */
class Line {
  readonly #target: SshTarget;
  readonly #options: ShellOptions;
  readonly #wait: Wait;
  #session: SshSession | undefined;

  constructor(target: SshTarget, options: ShellOptions, wait: Wait) {
    this.#target = target;
    this.#options = options;
    this.#wait = wait;
  }

  close(): void {
    this.#session?.close();
    this.#session = undefined;
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
        await this.#bear(error, lostAt, first, why);
      }
    }
  }

  /**
   * @param why the node cannot be reached, since it last took a command.
   * @throws unless connecting again may help.
   */
  async #bear(error: unknown, lostAt: number, first: boolean, why: string | undefined): Promise<void> {
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

  #over(error: unknown, why: string | undefined): ConnectionError {
    const { user, port } = this.#options;
    const last = why === undefined ? '' : `; the last connection: ${why}`;
    return new ConnectionError({ user, port, ...this.#target }, `no end within its time limit${last}`, error);
  }
}

/** What a script has printed so far. */
class ScriptLog {
  /** Bytes of the log that were read, as an offset for the next connection. */
  bytes = 0;
  lines: string[] = [];
  result: Record<string, unknown> = {};
  readonly #node: string;
  readonly #name: string;
  readonly #onLine: ShellOptions['onLine'];

  constructor(node: string, name: string, onLine: ShellOptions['onLine']) {
    this.#node = node;
    this.#name = name;
    this.#onLine = onLine;
  }

  /** @param bytes of the log that the line took; none for what sudo or ssh say beside it. */
  add(line: string, bytes: number): void {
    this.bytes += bytes;
    this.lines = [...this.lines.slice(1 - keptLines), line];
    if (line.startsWith('result: ')) this.result = parseResult(line.slice('result: '.length));
    else this.#onLine(this.#node, this.#name, line);
  }

  reset(): void {
    this.bytes = 0;
    this.lines = [];
    this.result = {};
  }
}

function parseResult(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? { ...value } : {};
  } catch {
    return {};
  }
}
