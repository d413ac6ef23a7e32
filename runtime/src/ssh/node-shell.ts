import { UpgradeError } from '../errors.ts';
import { within } from '../wait.ts';
import { type ConnectionOptions, NodeConnection } from './connection.ts';
import { type OnScriptLine, ScriptLog } from './script-log.ts';
import {
  busyCode,
  endIn,
  followInput,
  logOf,
  logStart,
  nodeScripts,
  type ScriptEnd,
  type ScriptName,
  startIn,
  startInput,
} from './scripts.ts';
import type { SshSession, SshTarget } from './session.ts';

/** Runs scripts and commands on nodes, as root. */
export interface NodeShell {
  /**
   * Runs a node script to its end, through lost connections and reboots. The script runs detached on the node
   * and is started again after a reboot. If it already runs with the same arguments, this call joins it; if
   * it runs with others (an earlier process may have seen the node in another role), this call waits for its
   * end first.
   *
   * @param timeout for everything, milliseconds.
   * @returns the object of its `result: {…}` line; `{}` when it prints none.
   * @throws ScriptError when the script fails; ConnectionError when the node stays unreachable or `timeout`
   *   has passed.
   */
  script(
    target: SshTarget,
    name: ScriptName,
    args: readonly string[],
    timeout: number,
  ): Promise<Record<string, unknown>>;
  /**
   * Waits until a node script that an earlier process may have left running has ended, regardless of its
   * arguments and exit code. Reports its output, after a notice since when it has been running. Returns at
   * once when it is not running; its log is then old, and is not reported.
   *
   * @param timeout milliseconds.
   * @throws ConnectionError when the node stays unreachable or `timeout` has passed.
   */
  waitForEnd(target: SshTarget, name: ScriptName, timeout: number): Promise<void>;
  /**
   * Runs one command that changes nothing; repeats it when the connection is lost.
   *
   * @param input sent to its standard input.
   * @returns standard output and error output for any exit code; `code` is -1 when a signal ended the
   *   command.
   * @throws ConnectionError when the node stays unreachable.
   */
  read(
    target: SshTarget,
    words: readonly string[],
    input?: string,
  ): Promise<{ code: number; output: string }>;
}

/**
 * A script ended with a non-zero exit code, or could not be run. Its hint names the log. Only a script that
 * ran detached, under its own name, has one: `update_k8s --dry-run` has none.
 */
export class ScriptError extends UpgradeError {
  /** Exit code of the script; -1 when a signal ended the command. */
  readonly exitCode: number;
  /** The text of its last `error: ` line, or its last line. */
  readonly reason: string;

  constructor(node: string, name: string, exitCode: number, lines: readonly string[]) {
    const reason =
      lines.findLast((line) => line.startsWith('error: '))?.slice('error: '.length) ??
      lines.at(-1) ??
      'no output';
    const hint = Object.hasOwn(nodeScripts, name) && `Its log is on ${node} in ${logOf(name)}.`;
    const message = `${name} on ${node} failed with exit code ${exitCode}: ${reason}`;
    super('failed', message, hint ? { hint } : {});
    this.name = 'ScriptError';
    this.exitCode = exitCode;
    this.reason = reason;
  }
}

/** Options of an {@link SshNodeShell}. */
export interface ShellOptions extends ConnectionOptions {
  /** Called with every line that a script prints. */
  readonly onLine: OnScriptLine;
  /** Awaited before a script starts, once the node can be reached; throws if this process must not write. */
  readonly mayWrite: () => Promise<void>;
}

/** Exit codes from this one on mean that a signal ended the command, or are detach.sh's own. */
const killed = 128;

/** Milliseconds until a script is followed again after its follower was killed; doubles each time. */
const followAgain = { first: 200, longest: 10_000 };

/** A {@link NodeShell} over SSH. */
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

  async waitForEnd(target: SshTarget, name: ScriptName, timeout: number) {
    const connection = new NodeConnection(target, this.#options, within(timeout, this.#options.signal));
    const log = new ScriptLog(target.name, name, this.#options.onLine);
    let isReported = false;
    const onRunning = (since: string) => {
      if (isReported) return;
      isReported = true;
      const { onNotice } = this.#options;
      onNotice(
        `${name} of an earlier process has been running on ${target.name} since ${since}; waiting for its end`,
      );
    };
    try {
      await this.#followToEnd(connection, target, name, log, onRunning);
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

  /** Starts or joins the script. @returns false when it already runs with other arguments. */
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
      // Checked only now, as the node may have been away for longer than the lease lasts.
      await this.#options.mayWrite();
      return session.run(words, input, (text) => lines.push(text), signal);
    });
    if (code === busyCode) {
      this.#options.onNotice(
        `${name} on ${target.name} is still running with other arguments; waiting for its end`,
      );
      return false;
    }
    if (code !== 0) throw new ScriptError(target.name, `starting ${name}`, code ?? -1, lines);
    return true;
  }

  /**
   * Streams the log, continuing where the last connection stopped, until detach.sh reports the end of the
   * script. Follows the script again when the follower on the node was killed (out of memory) or could not
   * start (sudo, a busy lock), as neither means that the script has ended.
   *
   * @param onRunning if given, a script that has ended before is not streamed; otherwise called with the time
   *   at which it started.
   */
  async #followToEnd(
    connection: NodeConnection,
    target: SshTarget,
    name: ScriptName,
    log: ScriptLog,
    onRunning?: (since: string) => void,
  ): Promise<ScriptEnd> {
    let reported: string | undefined;
    for (let ms = followAgain.first; ; ms = Math.min(2 * ms, followAgain.longest)) {
      const followed = await connection.run((session, signal) =>
        follow(session, signal, name, log, onRunning),
      );
      if ('end' in followed) return followed.end;
      const { why } = followed;
      if (why !== reported) this.#options.onNotice(`on ${target.name} ${why}; following it again`);
      reported = why;
      await connection.pauseBeforeRepeat(ms, why);
    }
  }
}

/** Follows the script once, until the script or its follower ends. */
async function follow(
  session: SshSession,
  signal: AbortSignal,
  name: ScriptName,
  log: ScriptLog,
  onRunning?: (since: string) => void,
): Promise<{ end: ScriptEnd } | { why: string }> {
  let hasStarted = false;
  let end: ScriptEnd | undefined;
  let error = '';
  const onError = (text: string) => {
    end ??= endIn(text);
    if (end !== undefined) return;
    const since = startIn(text);
    if (since !== undefined) return onRunning?.(since);
    error = text;
    log.report(text);
  };
  const onOutput = (text: string, bytes: number) => {
    if (hasStarted) log.add(text, bytes);
    // At the end of a line, because the output before it may lack a line end.
    else if (text.endsWith(logStart)) hasStarted = true;
    else log.report(text);
  };
  log.dropPartialLine();
  // Once a part of the log has been reported, the rest is, too, even if the script has ended since.
  const only = onRunning !== undefined && log.bytes === 0 ? ['running'] : [];
  const words = ['bash', '-s', '--', 'follow', name, String(log.bytes), logStart, ...only];
  const onLine = (text: string, bytes: number) => (bytes === 0 ? onError(text) : onOutput(text, bytes));
  const { code } = await session.run(words, followInput, onLine, signal);
  if (end !== undefined) {
    log.addPartialLine();
    return { end };
  }
  if (code === undefined || code >= killed) return { why: `the process following ${name} was killed` };
  return { why: `the process following ${name} ended with exit code ${code}${error && `: ${error}`}` };
}
