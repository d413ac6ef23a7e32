import { UpgradeError } from '../errors.ts';
import { pause, signalOf, type Wait, within } from '../wait.ts';
import { detachCodes, followInput, type ScriptName, startInput } from './scripts.ts';
import { ConnectionError, type SshOptions, SshSession, type SshTarget } from './ssh.ts';

/** Work on a node, as root. */
export interface NodeShell {
  /**
   * Runs a node script to its end, through lost connections and reboots: it is detached on the node, joined when it
   * already runs with the same arguments, and started again when a reboot took it.
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
  /** Runs one command that changes nothing; its output whatever its exit code. */
  read(target: SshTarget, words: readonly string[]): Promise<{ code: number; output: string }>;
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
  /** Asked before a script is started. */
  readonly mayWrite: () => Promise<void>;
}

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
    for (;;) {
      await this.#options.mayWrite();
      await this.#start(target, name, args, wait);
      const code = await this.#followToEnd(target, name, log, wait);
      if (code === 0) return log.result;
      if (code !== detachCodes.lost) throw new ScriptError(target.node, name, code, log.lines);
      this.#options.onNotice(`${name} on ${target.node} was interrupted (a reboot?); starting it again`);
      log.reset();
    }
  }

  async read(target: SshTarget, words: readonly string[]) {
    const lines: string[] = [];
    const wait = within(this.#options.reconnectTimeout, this.#options.signal);
    const { code } = await this.#reconnecting(target, wait, (session, signal) => {
      lines.length = 0;
      return session.run(words, '', (line) => lines.push(line), signal);
    });
    return { code: code ?? -1, output: lines.join('\n') };
  }

  async #start(target: SshTarget, name: ScriptName, args: readonly string[], wait: Wait): Promise<void> {
    const lines: string[] = [];
    const words = ['bash', '-s', '--', 'start', name, '--', ...args];
    const { code } = await this.#reconnecting(target, wait, (session, signal) =>
      session.run(words, startInput(name), (line) => lines.push(line), signal),
    );
    if (code !== 0) throw new ScriptError(target.node, name, code ?? -1, lines);
  }

  /** Streams the log from where the last connection left off. */
  async #followToEnd(target: SshTarget, name: ScriptName, log: ScriptLog, wait: Wait): Promise<number> {
    const { code } = await this.#reconnecting(target, wait, async (session, signal) => {
      const words = ['bash', '-s', '--', 'follow', name, String(log.bytes)];
      return session.run(words, followInput, (line) => log.add(line), signal);
    });
    return code ?? detachCodes.lost;
  }

  /** Runs `work` on a fresh connection, again and again while the connection is what fails. */
  async #reconnecting<T>(
    target: SshTarget,
    wait: Wait,
    work: (session: SshSession, signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    let lostAt: number | undefined;
    for (;;) {
      let session: SshSession | undefined;
      try {
        session = await SshSession.open(target, this.#options, this.#options.signal);
        lostAt = undefined;
        return await work(session, signalOf(wait));
      } catch (error) {
        this.#options.signal.throwIfAborted();
        if (Date.now() >= wait.deadline)
          throw new ConnectionError(target, 'no end within its time limit', error);
        if (!(error instanceof ConnectionError)) throw error;
        if (lostAt === undefined) this.#options.onNotice(`${error.message}; connecting again`);
        lostAt ??= Date.now();
        if (Date.now() - lostAt > this.#options.reconnectTimeout) throw error;
        await pause(Math.min(2_000, 200 + (Date.now() - lostAt) / 2), wait);
      } finally {
        session?.close();
      }
    }
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

  add(line: string): void {
    this.bytes += Buffer.byteLength(line) + 1;
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
