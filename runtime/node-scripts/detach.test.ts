import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { type Bench, benchPerBlock, benchPerTest, scriptText } from '../../test/node-scripts/harness.ts';

let bench: Bench;
const fresh = () =>
  benchPerTest((opened) => {
    bench = opened;
  });
const shared = () =>
  benchPerBlock((opened) => {
    bench = opened;
  });

const detach = scriptText('detach.sh');
const encode = (script: string) => `payload='${Buffer.from(script).toString('base64')}'\n`;
const start = (script: string, ...args: string[]) =>
  bench.bash(['-s', '--', 'start', 'job', '--', ...args], encode(script) + detach).ended;
const follow = (offset = 0, ...mark: string[]) =>
  bench.bash(['-s', '--', 'follow', 'job', String(offset), ...mark], detach).ended;
const stateFile = (name: string) => join(bench.node.paths.root, 'run/k8s-upgrade/job', name);
const pid = () => Number(readFileSync(stateFile('pid'), 'utf8'));
const log = () => bench.node.read('/var/log/k8s-upgrade/job.log');

/** Waits until the test says go; the FIFO makes no noise meanwhile. */
const waiting = 'echo begin; until [ -e "$HOME/go" ]; do sleep 0.02; done; echo end; exit "$1"';
const go = () => bench.node.write('/home/wizard/go', '');

describe('detach.sh', () => {
  fresh();

  test('a script outlives the connection that started it and keeps its exit code', async () => {
    const started = await start(waiting, '7');
    expect(started).toMatchObject({ exit: 0, result: { state: 'started', offset: 0 } });
    const following = follow();
    go();
    expect(await following).toMatchObject({ exit: 7, stdout: 'begin\nend\n' });
  });

  test('arguments arrive as they were given', async () => {
    await start('printf "<%s>" "$@"', 'a b', "it's", '$(id)', '');
    expect((await follow()).stdout).toBe("<a b><it's><$(id)><>");
  });

  test('its log can be followed from any byte, also after the end', async () => {
    await start('printf abcdef');
    expect((await follow(0)).stdout).toBe('abcdef');
    expect(await follow(4)).toMatchObject({ exit: 0, stdout: 'ef' });
    expect(await follow(6)).toMatchObject({ exit: 0, stdout: '' });
  });

  test('a mark is printed before the log, wherever in it that begins', async () => {
    await start('printf abcdef');
    expect((await follow(0, 'here-it-is')).stdout).toBe('here-it-is\nabcdef');
    expect((await follow(4, 'here-it-is')).stdout).toBe('here-it-is\nef');
  });

  test('its end is said beside the log: with the exit code, also with 200, or that there is none', async () => {
    expect(await follow()).toMatchObject({ exit: 200, stderr: expect.stringMatching(/^ended: lost\n/) });
    for (const code of [0, 7, 200]) {
      await start(`exit ${code}`);
      expect(await follow()).toMatchObject({ exit: code, stderr: `ended: ${code}\n` });
    }
    await start('sleep 0.01; kill -9 $PPID; kill -9 $$');
    expect(await follow()).toMatchObject({ exit: 200, stderr: expect.stringMatching(/^ended: lost\n/) });
  });

  test('a script whose log somebody removed has not ended for that', async () => {
    await start(waiting, '7');
    await expect.poll(log).toBe('begin\n');
    rmSync(join(bench.node.paths.root, 'var/log/k8s-upgrade/job.log'));
    // Long enough for a follower that does not wait to have given up.
    setTimeout(go, 500);
    expect(await follow()).toMatchObject({ exit: 7, stdout: '', stderr: 'ended: 7\n' });
  });

  test('nothing of a long log is lost, and two may follow', async () => {
    await start('for i in $(seq 1 20000); do echo "line $i"; done');
    const [one, two] = await Promise.all([follow(), follow()]);
    expect(one.stdout.split('\n')).toHaveLength(20_001);
    expect(two.stdout).toBe(one.stdout);
  });

  test('the same script with the same arguments is joined', async () => {
    await start(waiting, '0');
    const again = await start(waiting, '0');
    expect(again).toMatchObject({ exit: 0, result: { state: 'joined', offset: 0 } });
    go();
    expect((await follow()).stdout).toBe('begin\nend\n');
  });

  test.each([
    ['arguments', waiting, '1'],
    ['script', 'exit 0', '0'],
  ])('another %s while it runs is refused with 201', async (_what, script, argument) => {
    await start(waiting, '0');
    const other = await start(script, argument);
    expect(other.exit).toBe(201);
    expect(other.lastError).toMatch(
      /^error: job is already running on this node as: job '0'; wait for it to end/,
    );
    go();
    await follow();
  });

  test('of two that start at once one wins and the other joins', async () => {
    const results = await Promise.all([start(waiting, '0'), start(waiting, '0'), start(waiting, '0')]);
    expect(results.map(({ result }) => (result as { state: string }).state).sort()).toEqual([
      'joined',
      'joined',
      'started',
    ]);
    go();
    await follow();
    expect(log()).toBe('begin\nend\n');
  });

  test('once it has ended it starts afresh, with a new log', async () => {
    await start('echo one; exit 3');
    expect((await follow()).exit).toBe(3);
    expect((await start('echo two')).result).toEqual({ state: 'started', offset: 0 });
    expect(await follow()).toMatchObject({ exit: 0, stdout: 'two\n' });
  });

  test('a killed script is lost: 200, and may start again', async () => {
    await start('echo begin; sleep 0.01; kill -9 $PPID; kill -9 $$');
    const ended = await follow();
    expect(ended).toMatchObject({ exit: 200, stdout: 'begin\n' });
    expect(ended.lastError).toContain('without an exit code: the node rebooted or somebody killed it');
    expect((await start('exit 0')).result).toEqual({ state: 'started', offset: 0 });
  });

  test('while something of a killed script is still at work, nothing starts beside it', async () => {
    await start(waiting, '0');
    await expect.poll(log).toBe('begin\n');
    process.kill(pid(), 'SIGKILL');
    expect((await start(waiting, '0')).result).toMatchObject({ state: 'joined' });
    // Long enough for a follower that does not wait to have given up.
    setTimeout(go, 500);
    expect(await follow()).toMatchObject({ exit: 200, stdout: 'begin\nend\n' });
  });

  test('something that a finished script left behind does not hold up the next', {
    timeout: 10_000,
  }, async () => {
    await start('sleep 300 & echo done');
    expect((await follow()).exit).toBe(0);
    expect((await start('echo again')).result).toMatchObject({ state: 'started' });
    expect(await follow()).toMatchObject({ exit: 0, stdout: 'again\n' });
  });

  test('a reboot loses it', async () => {
    await start(waiting, '0');
    const following = follow();
    await bench.node.reboot(1);
    expect((await following).exit).not.toBe(0);
    expect((await follow()).exit).toBe(200);
  });

  test('a waiter that is killed says nothing of the script: 202', async () => {
    await start(waiting, '7');
    const waitersOf = (parent: number) =>
      readFileSync(`/proc/${parent}/task/${parent}/children`, 'utf8')
        .trim()
        .split(' ')
        .filter(Boolean)
        .map(Number);
    const following = bench.bash(['-s', '--', 'follow', 'job', '0'], detach);
    const commandOf = (one: number) => readFileSync(`/proc/${one}/cmdline`, 'utf8');
    await expect
      .poll(() => waitersOf(following.pid).some((one) => commandOf(one).startsWith('tail')))
      .toBe(true);
    for (const one of waitersOf(following.pid))
      if (!commandOf(one).startsWith('tail')) process.kill(one, 'SIGKILL');
    expect(await following.ended).toMatchObject({
      exit: 202,
      lastError: 'error: what followed job was killed',
    });
    go();
    expect(await follow()).toMatchObject({ exit: 7 });
  });

  test('a follower that goes away disturbs nobody', async () => {
    await start(waiting, '5');
    const gone = bench.bash(['-s', '--', 'follow', 'job', '0'], detach);
    await expect.poll(log).toContain('begin');
    gone.kill('SIGKILL');
    await gone.ended;
    const following = follow();
    go();
    expect((await following).exit).toBe(5);
  });

  test('its files are for root only', async () => {
    await start('exit 0');
    const { stdout } = await bench.bash(
      [
        '-c',
        'stat -c "%a %n" "$0/run/k8s-upgrade/job" "$0/run/k8s-upgrade/job/script" "$0/var/log/k8s-upgrade/job.log"',
        bench.node.paths.root,
      ],
      '',
    ).ended;
    expect(stdout.replaceAll(/ .*\//g, ' ')).toBe('700 job\n600 script\n600 job.log\n');
  });

  test('the script itself has the usual umask', async () => {
    await start('umask');
    expect((await follow()).stdout).toBe('0022\n');
  });
});

describe('bad input', () => {
  shared();

  test.each([
    [['stop', 'job'], '"stop" is not a command'],
    [['start', '../job'], 'NAME: "../job" is not allowed'],
    [['follow', 'job', 'x'], 'OFFSET: "x" is not allowed'],
    [['follow', 'job', '0', '$(id)'], 'MARK: "$(id)" is not allowed'],
    [['follow', 'job'], 'follow: expected NAME and OFFSET'],
    [['start', 'job'], 'no script'],
  ])('refuses %j', async (args, message) => {
    const { exit, lastError } = await bench.bash(['-s', '--', ...args], detach).ended;
    expect(lastError).toContain(message);
    expect(exit).toBe(2);
  });
});
