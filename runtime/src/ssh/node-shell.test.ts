import { readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import type { LabNode } from '../../../test/lab/nodes/node.ts';
import { rejection } from '../testing/files.ts';
import { shellOptions, startNode } from '../testing/node.ts';
import { ScriptError } from './node-shell.ts';

const args = ['--package', 'kubeadm'];
const offered = {
  versions: ['1.34.5-1.1', '1.34.2-1.1'],
  incomplete: [],
  repository: expect.stringContaining('v1.34/deb'),
};
/** How often the node refreshed its package lists: each run of the script does it once. */
const refreshed = (node: LabNode) =>
  node.history.filter(({ program, args: words }) => program === 'apt-get' && words.includes('update')).length;

/** A node on which a script takes `seconds`; `middle` resolves while it is running. */
async function slowNode(seconds = 0.7) {
  const { node, target } = await startNode();
  node.setDuration('apt-update', seconds);
  const middle = new Promise<void>((resolve) => {
    const timer = setInterval(() => {
      if (refreshed(node) === 0) return;
      clearInterval(timer);
      resolve();
    }, 20);
  });
  return { node, target, middle };
}

/** Processes of this node whose command line starts with `pattern`. */
const pidsOf = (node: LabNode, pattern: string): number[] =>
  readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry))
    .map(Number)
    .filter((pid) => {
      try {
        const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
        const isOurs = readFileSync(`/proc/${pid}/environ`, 'utf8').includes(node.paths.root);
        return isOurs && new RegExp(`^\\S*${pattern}`).test(words);
      } catch {
        return false;
      }
    });

/** Runs these lines of bash before a program of the node; `$once` is a path that does not exist yet. */
function before(node: LabNode, program: string, bash: string): void {
  const path = join(node.paths.bin, program);
  const real = readlinkSync(path);
  rmSync(path);
  const lines = ['#!/bin/bash', `real='${real}' once='${path}.once'`, bash, `exec '${real}' "$@"`, ''];
  writeFileSync(path, lines.join('\n'), { mode: 0o755 });
}

/** The lines of the script's log, without its result. */
const logOf = (node: LabNode): string[] =>
  node
    .read('/var/log/k8s-upgrade/list_packages.log')
    .trimEnd()
    .split('\n')
    .filter((line) => !line.startsWith('result:'));

describe('a script on a node', () => {
  it('returns its result and reports its lines', async () => {
    const { node, target } = await startNode();
    const { shell, received } = shellOptions(node);
    expect(await shell.script(target, 'list_packages', args, 20_000)).toEqual(offered);
    expect(received.lines.some((line) => line.includes('kubeadm | 1.34.5-1.1 |'))).toBe(true);
    expect(received.lines.some((line) => line.startsWith('result:'))).toBe(false);
    expect(received.notices).toEqual([]);
    await vi.waitFor(() => expect(node.ssh.connections).toBe(0));
  });

  it('that fails throws its last error and the path of its log', async () => {
    const { node, target } = await startNode();
    const error = await rejection(
      shellOptions(node).shell.script(target, 'list_packages', ['--nonsense'], 20_000),
    );
    expect(error).toMatchObject({
      name: 'ScriptError',
      code: 'failed',
      exitCode: 2,
      message:
        'list_packages on k8s-node1 failed with exit code 2: "--nonsense" is not an option; see --help',
      hint: expect.stringMatching(/^Its log is on k8s-node1 in \/var\/log\/.*\.$/),
    });
    // detach.sh has written the log to that path.
    const [, path = ''] = /(\/\S+)\.$/.exec(error.hint ?? '') ?? [];
    expect(node.read(path)).toBe('error: "--nonsense" is not an option; see --help\n');
  });

  it('that cannot be started throws an error without the path of a log, as it has none', async () => {
    const { node, target } = await startNode();
    before(node, 'sudo', 'if [[ $* == *start* ]]; then echo "sudo: a password is required" >&2; exit 1; fi');
    const error = await rejection(shellOptions(node).shell.script(target, 'list_packages', args, 20_000));
    expect(error).toMatchObject({
      message: 'starting list_packages on k8s-node1 failed with exit code 1: sudo: a password is required',
      hint: undefined,
    });
    expect(new ScriptError('k8s-node1', 'update_k8s --dry-run', 1, []).hint).toBeUndefined();
  });

  it('of an earlier process can be waited for, whatever its arguments; without one there is no wait', async () => {
    const { node, target, middle } = await slowNode();
    const { shell, received } = shellOptions(node);
    await shell.waitForEnd(target, 'list_packages', 20_000);
    const done = shell.script(target, 'list_packages', args, 20_000);
    await middle;
    const later = shellOptions(node);
    await later.shell.waitForEnd(target, 'list_packages', 20_000);
    expect(later.received.lines).toContainEqual(expect.stringContaining('kubeadm | 1.34.5-1.1 |'));
    expect(later.received.notices).toEqual([
      expect.stringMatching(
        /^list_packages of an earlier process has been running on k8s-node1 since 2\S+Z; waiting for its end$/,
      ),
    ]);
    expect(await done).toEqual(offered);
    await shell.waitForEnd(target, 'list_packages', 20_000);
    expect([refreshed(node), received.notices]).toEqual([1, []]);
  });

  it('that failed in an earlier process is not reported again', async () => {
    const { node, target } = await startNode();
    await rejection(shellOptions(node).shell.script(target, 'list_packages', ['--nonsense'], 20_000));
    const later = shellOptions(node);
    await later.shell.waitForEnd(target, 'list_packages', 20_000);
    expect(later.received).toMatchObject({ lines: [], notices: [] });
  });

  it('that ends while a waiting process has no connection is reported to its last line', async () => {
    const { node, target, middle } = await slowNode();
    const first = shellOptions(node).shell.script(target, 'list_packages', args, 20_000);
    await middle;
    const { shell, received } = shellOptions(node);
    const waiting = shell.waitForEnd(target, 'list_packages', 20_000);
    await vi.waitFor(() => expect(received.lines).not.toEqual([]), 5_000);
    node.ssh.refuse();
    node.cutConnections();
    await vi.waitFor(() => expect(node.read('/run/k8s-upgrade/list_packages/exit')).toBe('0\n'), 5_000);
    await node.ssh.listen();
    await waiting;
    expect(received.lines).toEqual(logOf(node));
    expect(await first).toEqual(offered);
  });

  it.each([
    ['the process that prints its log', 'tail -c .*'],
    ['the process that waits for its end', 'bash -s -- follow .*'],
  ])('does not count as ended when %s is killed on the node', async (_what, pattern) => {
    const { node, target, middle } = await slowNode(2);
    const { shell, received } = shellOptions(node);
    const done = shell.script(target, 'list_packages', args, 20_000);
    const later = shellOptions(node);
    await middle;
    const waiting = later.shell.waitForEnd(target, 'list_packages', 20_000);
    const ended = vi.fn();
    void waiting.then(ended);
    await vi.waitFor(() =>
      expect([received.lines, later.received.lines].every(({ length }) => length > 0)).toBe(true),
    );
    for (const pid of pidsOf(node, pattern)) process.kill(pid, 'SIGKILL');
    await new Promise((resolve) => setTimeout(resolve, 500));
    expect(ended).not.toHaveBeenCalled();
    await waiting;
    expect(await done).toEqual(offered);
    expect([refreshed(node), received.lines.filter((line) => line.includes('1.34.2-1.1')).length]).toEqual([
      1, 1,
    ]);
    expect(later.received.notices).toContainEqual(
      expect.stringContaining('the process following list_packages was killed'),
    );
  });

  it.each(['script', 'ended'] as const)('does not count as ended when sudo fails (%s)', async (what) => {
    const { node, target, middle } = await slowNode(1.5);
    const first = shellOptions(node).shell.script(target, 'list_packages', args, 20_000);
    await middle;
    const failing = 'if [[ $* == *follow* && ! -e $once ]]; then echo "sudo: no fork" >&2; exit 1; fi';
    before(node, 'sudo', failing);
    const { shell, received } = shellOptions(node);
    const ended = vi.fn();
    const later =
      what === 'script'
        ? shell.script(target, 'list_packages', args, 20_000)
        : shell.waitForEnd(target, 'list_packages', 20_000);
    void later.then(ended, ended);
    await vi.waitFor(() => expect(received.lines).toEqual(['sudo: no fork', 'sudo: no fork']), 5_000);
    expect(ended).not.toHaveBeenCalled();
    writeFileSync(join(node.paths.bin, 'sudo.once'), '');
    expect(await later).toEqual(what === 'script' ? offered : undefined);
    expect(received.lines.filter((line) => line !== 'sudo: no fork')).toEqual(logOf(node));
    expect(received.notices).toEqual([
      'on k8s-node1 the process following list_packages ended with exit code 1: sudo: no fork; following it again',
      ...(what === 'ended' ? [expect.stringContaining('of an earlier process has been running')] : []),
    ]);
    expect(await first).toEqual(offered);
    expect(refreshed(node)).toBe(1);
  });

  it('that cannot be followed within the time limit fails', async () => {
    const { node, target } = await startNode();
    before(node, 'sudo', 'if [[ $* == *follow* ]]; then echo "sudo: no fork" >&2; exit 1; fi');
    const { shell } = shellOptions(node);
    // The limit can also end in the middle of an attempt, so the reason may be missing.
    const message = /^SSH to k8s-node1 \(127\.0\.0\.1\): no end within the time limit/;
    expect(await rejection(shell.waitForEnd(target, 'list_packages', 1_500))).toMatchObject({
      name: 'ConnectionError',
      message: expect.stringMatching(message),
    });
  });

  it('has a whole last line even if the process that prints its log is killed in the middle of it', async () => {
    const { node, target } = await startNode();
    const half =
      'for log; do :; done; until grep -q ^result: "$log"; do sleep 0.02; done; head -c -40 "$log"; kill -9 $$';
    // Only the tail that follows a log: the node's own apt-get calls tail, too, and may come first.
    before(node, 'tail', `if [[ $* == *--pid=* && ! -e $once ]]; then : >"$once"; ${half}; fi`);
    const { shell, received } = shellOptions(node);
    expect(await shell.script(target, 'list_packages', args, 20_000)).toEqual(offered);
    const ofBash = (line: string) => line.includes(' Killed ');
    expect(received.lines.filter((line) => !ofBash(line))).toEqual(logOf(node));
    expect(received.notices).toEqual([
      'on k8s-node1 the process following list_packages was killed; following it again',
    ]);
  });

  it('is not sent by a process that must no longer write', async () => {
    const { node, target } = await startNode();
    const mayWrite = async () => {
      throw new Error('the lease is lost');
    };
    const { shell } = shellOptions(node, { mayWrite });
    expect((await rejection(shell.script(target, 'list_packages', args, 20_000))).message).toBe(
      'the lease is lost',
    );
    expect(node.ssh.executions).toEqual([]);
  });
});

describe('a connection that is lost (F5)', () => {
  it('for longer than the lease: the script is not started', async () => {
    const { node, target } = await startNode();
    let lost = false;
    const mayWrite = async () => {
      if (lost) throw new Error('the lease is lost');
    };
    const { shell, received } = shellOptions(node, { mayWrite });
    node.ssh.refuse();
    const running = rejection(shell.script(target, 'list_packages', args, 20_000));
    await vi.waitFor(() => expect(received.notices).toHaveLength(1), 5_000);
    lost = true;
    await node.ssh.listen();
    expect((await running).message).toBe('the lease is lost');
    expect(node.ssh.executions).toEqual([]);
  });

  it('neither ends the script nor loses a line of its log', async () => {
    const { node, target, middle } = await slowNode(2);
    const { shell, received } = shellOptions(node);
    const follows = () => node.ssh.executions.filter((one) => one.command.includes(' follow ')).length;
    const running = shell.script(target, 'list_packages', args, 20_000);
    await middle;
    for (const nth of [1, 2]) {
      await vi.waitFor(() => expect(follows()).toBe(nth), 5_000);
      node.cutConnections();
    }
    expect(await running).toEqual(offered);
    expect(refreshed(node)).toBe(1);
    expect(
      received.notices.filter((notice) => notice.endsWith('connection lost; reconnecting')),
    ).toHaveLength(2);
    expect(received.lines).toEqual(logOf(node));
  });

  it.each([
    ['sudo or ssh prints a line', "'sudo: unable to resolve host k8s-node1: Temporary failure' >&2"],
    ['the login shell prints a line', "'Welcome to k8s-node1, which has been up for 42 days'"],
    ['the login shell prints a line without its end', "-n 'Welcome to k8s-node1'"],
  ])('loses no line when %s, too', async (_what, echo) => {
    const { node, target } = await startNode();
    before(node, 'sudo', `[[ "$*" != *follow* ]] || echo ${echo}`);
    const lines: string[] = [];
    const onLine = (_node: string, _script: string, line: string) => {
      lines.push(line);
      // In the middle of the log: the rest is written before the next connection.
      if (line.startsWith('Reading package lists')) node.cutConnections();
    };
    const { shell } = shellOptions(node, { onLine });
    expect(await shell.script(target, 'list_packages', args, 20_000)).toEqual(offered);
    const isNoise = (line: string) => line.includes('host k8s-node1') || line.includes('to k8s-node1');
    expect(lines.filter((line) => !isNoise(line))).toEqual(logOf(node));
    expect(lines.filter(isNoise)).toHaveLength(echo.startsWith('-n') ? 0 : 2);
  });

  it('for longer than allowed fails the call but does not end the script', async () => {
    const { node, target, middle } = await slowNode(2);
    const { shell } = shellOptions(node, { reconnectTimeout: 300 });
    const running = rejection(shell.script(target, 'list_packages', args, 20_000));
    await middle;
    node.ssh.refuse();
    node.cutConnections();
    expect(await running).toMatchObject({
      name: 'ConnectionError',
      message: expect.stringContaining('k8s-node1'),
    });
    await node.ssh.listen();
    expect(await shellOptions(node).shell.script(target, 'list_packages', args, 20_000)).toEqual(offered);
    expect(refreshed(node)).toBe(1);
  });

  it('counts as lost while the node accepts the login but no command', async () => {
    const { node, target } = await startNode();
    const { shell, received } = shellOptions(node, { reconnectTimeout: 700 });
    node.ssh.refusesCommands = true;
    const started = performance.now();
    expect(await rejection(shell.script(target, 'list_packages', args, 20_000))).toMatchObject({
      name: 'ConnectionError',
    });
    expect(performance.now() - started).toBeLessThan(10_000);
    expect(received.notices).toHaveLength(1);
  });

  it('by a reboot starts the script again', async () => {
    const { node, target, middle } = await slowNode();
    const { shell, received } = shellOptions(node);
    const running = shell.script(target, 'list_packages', args, 20_000);
    await middle;
    await node.reboot(200);
    expect(await running).toEqual(offered);
    expect(refreshed(node)).toBe(2);
    expect(received.notices).toContain(
      'list_packages on k8s-node1 was interrupted (a reboot?); starting it again',
    );
  });
});

describe('a script that is already running', () => {
  it('with the same arguments is joined', async () => {
    const { node, target, middle } = await slowNode();
    const first = shellOptions(node).shell.script(target, 'list_packages', args, 20_000);
    await middle;
    const second = shellOptions(node).shell.script(target, 'list_packages', args, 20_000);
    expect(await Promise.all([first, second])).toEqual([offered, offered]);
    expect(refreshed(node)).toBe(1);
  });

  it('with other arguments runs to its end before the new one starts', async () => {
    const { node, target, middle } = await slowNode();
    const first = shellOptions(node).shell.script(target, 'list_packages', args, 20_000);
    await middle;
    const { shell, received } = shellOptions(node);
    const other = shell.script(target, 'list_packages', ['--package', 'kubectl'], 20_000);
    expect(await Promise.all([first, other])).toEqual([offered, offered]);
    expect(received.notices).toEqual([
      'list_packages on k8s-node1 is still running with other arguments; waiting for its end',
    ]);
    expect(refreshed(node)).toBe(2);
    expect(
      node.history.filter(({ program }) => program === 'apt-cache').map(({ args: [, name] }) => name),
    ).toEqual(['kubeadm', 'kubectl']);
  });
});

describe('a script that takes too long', () => {
  it('fails with the time limit', async () => {
    const { node, target } = await slowNode(5);
    const error = await rejection(shellOptions(node).shell.script(target, 'list_packages', args, 600));
    expect(error).toMatchObject({
      name: 'ConnectionError',
      code: 'failed',
      message: 'SSH to k8s-node1 (127.0.0.1): no end within the time limit',
    });
  });

  it('keeps running when the run is aborted', async () => {
    const { node, target, middle } = await slowNode();
    const stop = new AbortController();
    const running = rejection(
      shellOptions(node, { signal: stop.signal }).shell.script(target, 'list_packages', args, 20_000),
    );
    await middle;
    stop.abort(new Error('enough'));
    expect((await running).message).toBe('enough');
    expect(await shellOptions(node).shell.script(target, 'list_packages', args, 20_000)).toEqual(offered);
    expect(refreshed(node)).toBe(1);
  });
});

describe('a read-only command', () => {
  it('on a node that cannot be reached fails with the reason and how to try it', async () => {
    const { node, target } = await startNode();
    const { shell } = shellOptions(node, { port: 1, reconnectTimeout: 300 });
    const error = await rejection(shell.read(target, ['true']));
    expect(error.message).toContain('ECONNREFUSED');
    expect(error.hint).toBe('Try it yourself: ssh -p 1 wizard@127.0.0.1');
  });

  it('returns output and exit code, whatever the code is', async () => {
    const { node, target } = await startNode();
    const { shell } = shellOptions(node);
    expect(await shell.read(target, ['dpkg', '--print-architecture'])).toEqual({
      code: 0,
      output: expect.stringMatching(/^\w+$/),
    });
    expect(await shell.read(target, ['bash', '-c', 'exit'])).toEqual({ code: 0, output: '' });
    const failed = await shell.read(target, ['cat', '/nonexistent']);
    expect(failed).toEqual({ code: 1, output: expect.stringContaining('No such file') });
  });
});
