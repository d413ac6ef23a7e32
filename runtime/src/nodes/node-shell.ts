import { UpgradeError } from '../errors.ts';
import { pause, signalOf, type Wait, within } from '../wait.ts';
import {
  busyCode,
  endIn,
  followInput,
  logMark,
  type ScriptEnd,
  type ScriptName,
  startInput,
} from './scripts.ts';
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

/** What was killed on a node is not at once followed again and again: milliseconds until the next time, twice as many each time. */
const followAgain = { first: 200, longest: 10_000 };

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
        const end = await this.#followToEnd(line, target, name, log);
        if (isOurs) {
          if (end === 0) return log.result;
          if (end !== 'lost') throw new ScriptError(target.node, name, end, log.lines);
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
    if (code === busyCode) {
      this.#options.onNotice(
        `${name} on ${target.node} still runs with other arguments; waiting for its end`,
      );
      return false;
    }
    if (code !== 0) throw new ScriptError(target.node, name, code ?? -1, lines);
    return true;
  }

  /**
   * Streams the log from where the last connection left off, until detach.sh says that the script has ended. That what followed it
   * was killed there (out of memory) or could not begin (sudo, a busy lock) says nothing of the script: it is followed again.
   */
  async #followToEnd(line: Line, target: SshTarget, name: ScriptName, log: ScriptLog): Promise<ScriptEnd> {
    let told: string | undefined;
    for (let ms = followAgain.first; ; ms = Math.min(2 * ms, followAgain.longest)) {
      const followed = await line.run((session, signal) => follow(session, signal, name, log));
      if ('end' in followed) return followed.end;
      const { why } = followed;
      if (why !== told) this.#options.onNotice(`on ${target.node} ${why}; following it again`);
      told = why;
      await line.rest(ms, why);
    }
  }
}

/** Once: to the script's end, or to that of what followed it. */
async function follow(
  session: SshSession,
  signal: AbortSignal,
  name: ScriptName,
  log: ScriptLog,
): Promise<{ end: ScriptEnd } | { why: string }> {
  let hasBegun = false;
  let end: ScriptEnd | undefined;
  let error = '';
  const onError = (text: string) => {
    end ??= endIn(text);
    if (end !== undefined) return;
    error = text;
    log.tell(text);
  };
  const onOutput = (text: string, bytes: number) => {
    if (hasBegun) log.add(text, bytes);
    // At the end of a line: what came before may have had no line end.
    else if (text.endsWith(logMark)) hasBegun = true;
    else log.tell(text);
  };
  log.forgetHalf();
  const words = ['bash', '-s', '--', 'follow', name, String(log.bytes), logMark];
  const onLine = (text: string, bytes: number) => (bytes === 0 ? onError(text) : onOutput(text, bytes));
  const { code } = await session.run(words, followInput, onLine, signal);
  if (end !== undefined) {
    log.takeHalf();
    return { end };
  }
  if (code === undefined || code >= killed) return { why: `what followed ${name} was killed` };
  return { why: `what followed ${name} ended with exit code ${code}${error && `: ${error}`}` };
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

  #over(cause: unknown, why: string | undefined): ConnectionError {
    const { user, port } = this.#options;
    const last = why === undefined ? '' : `; the last connection: ${why}`;
    return new ConnectionError({ user, port, ...this.#target }, `no end within its time limit${last}`, cause);
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
  /** The last line, while it may be half of one: what prints the log can be killed in the middle of a line. */
  #half: { line: string; bytes: number } | undefined;

  constructor(node: string, name: string, onLine: ShellOptions['onLine']) {
    this.#node = node;
    this.#name = name;
    this.#onLine = onLine;
  }

  /** What sudo, ssh or the login shell say beside the log. */
  tell(line: string): void {
    this.#onLine(this.#node, this.#name, line);
  }

  /** @param bytes of the log that the line took. */
  add(line: string, bytes: number): void {
    this.takeHalf();
    // With its line end a line takes one byte more than its text; where the text is no UTF-8 that is not known, and does no harm.
    if (bytes > Buffer.byteLength(line)) this.#take(line, bytes);
    else this.#half = { line, bytes };
  }

  /** The last line is whole: another one comes after it, or the script has ended. */
  takeHalf(): void {
    const half = this.#half;
    this.#half = undefined;
    if (half !== undefined) this.#take(half.line, half.bytes);
  }

  /** The last line will be read again. */
  forgetHalf(): void {
    this.#half = undefined;
  }

  #take(line: string, bytes: number): void {
    this.bytes += bytes;
    this.lines = [...this.lines.slice(1 - keptLines), line];
    if (line.startsWith('result: ')) this.result = parseResult(line.slice('result: '.length));
    else this.tell(line);
  }

  reset(): void {
    this.bytes = 0;
    this.lines = [];
    this.result = {};
    this.#half = undefined;
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
