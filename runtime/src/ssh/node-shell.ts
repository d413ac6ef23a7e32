import { UpgradeError } from '../errors.ts';
import { within } from '../wait.ts';
import { type ConnectionOptions, NodeConnection } from './connection.ts';
import { type OnScriptLine, ScriptLog } from './script-log.ts';
import {
  busyCode,
  endIn,
  followInput,
  logMark,
  logOf,
  type ScriptEnd,
  type ScriptName,
  startInput,
} from './scripts.ts';
import type { SshSession, SshTarget } from './session.ts';

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
      hint: `Its log is on ${node} in ${logOf(name)}.`,
    });
    this.name = 'ScriptError';
    this.exitCode = exitCode;
  }
}

export interface ShellOptions extends ConnectionOptions {
  readonly onLine: OnScriptLine;
  /** Asked before a script is started, once its node can be reached. */
  readonly mayWrite: () => Promise<void>;
}

/** Exit codes from here on are a shell's for a signal, or detach.sh's own. */
const killed = 128;

/** What was killed on a node is not at once followed again and again: milliseconds until the next time, twice as many each time. */
const followAgain = { first: 200, longest: 10_000 };

export class SshNodeShell implements NodeShell {
  readonly #options: ShellOptions;

  constructor(options: ShellOptions) {
    this.#options = options;
  }

  async script(target: SshTarget, name: ScriptName, args: readonly string[], timeout: number) {
    const wait = within(timeout, this.#options.signal);
    const log = new ScriptLog(target.name, name, this.#options.onLine);
    const connection = new NodeConnection(target, this.#options, wait);
    try {
      for (;;) {
        const isOurs = await this.#start(connection, target, name, args);
        const end = await this.#followToEnd(connection, target, name, log);
        if (isOurs) {
          if (end === 0) return log.result;
          if (end !== 'lost') throw new ScriptError(target.name, name, end, log.lines);
          this.#options.onNotice(`${name} on ${target.name} was interrupted (a reboot?); starting it again`);
        }
        log.reset();
      }
    } finally {
      connection.close();
    }
  }

  async ended(target: SshTarget, name: ScriptName, timeout: number) {
    const connection = new NodeConnection(target, this.#options, within(timeout, this.#options.signal));
    try {
      await this.#followToEnd(
        connection,
        target,
        name,
        new ScriptLog(target.name, name, this.#options.onLine),
      );
    } finally {
      connection.close();
    }
  }

  async read(target: SshTarget, words: readonly string[], input = '') {
    const lines: string[] = [];
    const connection = new NodeConnection(
      target,
      this.#options,
      within(this.#options.reconnectTimeout, this.#options.signal),
    );
    try {
      const { code } = await connection.run((session, signal) => {
        lines.length = 0;
        return session.run(words, input, (text) => lines.push(text), signal);
      });
      return { code: code ?? -1, output: lines.join('\n') };
    } finally {
      connection.close();
    }
  }

  /** @returns false when it runs with other arguments: its end is to be waited for first. */
  async #start(
    connection: NodeConnection,
    target: SshTarget,
    name: ScriptName,
    args: readonly string[],
  ): Promise<boolean> {
    const lines: string[] = [];
    const words = ['bash', '-s', '--', 'start', name, '--', ...args];
    const input = startInput(name);
    const { code } = await connection.run(async (session, signal) => {
      lines.length = 0;
      // Here and not before: the node may have been away for longer than a lease lasts.
      await this.#options.mayWrite();
      return session.run(words, input, (text) => lines.push(text), signal);
    });
    if (code === busyCode) {
      this.#options.onNotice(
        `${name} on ${target.name} still runs with other arguments; waiting for its end`,
      );
      return false;
    }
    if (code !== 0) throw new ScriptError(target.name, name, code ?? -1, lines);
    return true;
  }

  /**
   * Streams the log from where the last connection left off, until detach.sh says that the script has ended. That what followed it
   * was killed there (out of memory) or could not begin (sudo, a busy lock) says nothing of the script: it is followed again.
   */
  async #followToEnd(
    connection: NodeConnection,
    target: SshTarget,
    name: ScriptName,
    log: ScriptLog,
  ): Promise<ScriptEnd> {
    let reported: string | undefined;
    for (let ms = followAgain.first; ; ms = Math.min(2 * ms, followAgain.longest)) {
      const followed = await connection.run((session, signal) => follow(session, signal, name, log));
      if ('end' in followed) return followed.end;
      const { why } = followed;
      if (why !== reported) this.#options.onNotice(`on ${target.name} ${why}; following it again`);
      reported = why;
      await connection.rest(ms, why);
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
  let hasStarted = false;
  let end: ScriptEnd | undefined;
  let error = '';
  const onError = (text: string) => {
    end ??= endIn(text);
    if (end !== undefined) return;
    error = text;
    log.report(text);
  };
  const onOutput = (text: string, bytes: number) => {
    if (hasStarted) log.add(text, bytes);
    // At the end of a line: what came before may have had no line end.
    else if (text.endsWith(logMark)) hasStarted = true;
    else log.report(text);
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
