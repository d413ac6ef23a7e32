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
const follow = (offset = 0, ...marker: string[]) =>
  bench.bash(['-s', '--', 'follow', 'job', String(offset), ...marker], detach).ended;
const stateFile = (name: string) => join(bench.node.paths.root, 'run/k8s-upgrade/job', name);
const pid = () => Number(readFileSync(stateFile('pid'), 'utf8'));
const log = () => bench.node.read('/var/log/k8s-upgrade/job.log');

const childrenOf = (parent: number) =>
  readFileSync(`/proc/${parent}/task/${parent}/children`, 'utf8')
    .trim()
    .split(' ')
    .filter(Boolean)
    .map(Number);
const commandOf = (process: number) => readFileSync(`/proc/${process}/cmdline`, 'utf8');
/** Whether the follower with this process id prints the log. */
const isPrinting = (follower: number) =>
  childrenOf(follower).some((one) => commandOf(one).startsWith('tail'));

/** A script that runs until {@link go} is called. */
const waiting = 'echo begin; until [ -e "$HOME/go" ]; do sleep 0.02; done; echo end; exit "$1"';
const go = () => bench.node.write('/home/wizard/go', '');

describe('detach.sh', () => {
  fresh();

  test('a script outlives the connection that started it, and its exit code is kept', async () => {
    const started = await start(waiting, '7');
    expect(started).toMatchObject({ exit: 0, result: { state: 'started', offset: 0 } });
    const following = follow();
    go();
    expect(await following).toMatchObject({ exit: 7, stdout: 'begin\nend\n' });
  });

  test('arguments reach the script unchanged', async () => {
    await start('printf "<%s>" "$@"', 'a b', "it's", '$(id)', '');
    expect((await follow()).stdout).toBe("<a b><it's><$(id)><>");
  });

  test('the log can be followed from any byte, even after the script has ended', async () => {
    await start('printf abcdef');
    expect((await follow(0)).stdout).toBe('abcdef');
    expect(await follow(4)).toMatchObject({ exit: 0, stdout: 'ef' });
    expect(await follow(6)).toMatchObject({ exit: 0, stdout: '' });
  });

  test('a marker line is printed before the log, whatever the offset', async () => {
    await start('printf abcdef');
    expect((await follow(0, 'here-it-is')).stdout).toBe('here-it-is\nabcdef');
    expect((await follow(4, 'here-it-is')).stdout).toBe('here-it-is\nef');
  });

  test('only the log of a running script is printed when that is asked for, with the time of its start', async () => {
    const running = () => bench.bash(['-s', '--', 'follow', 'job', '0', 'here-it-is', 'running'], detach);
    const started = Date.now();
    await start(waiting, '7');
    const first = running();
    await expect.poll(() => isPrinting(first.pid)).toBe(true);
    go();
    const { exit, stdout, stderr } = await first.ended;
    expect([exit, stdout]).toEqual([7, 'here-it-is\nbegin\nend\n']);
    const [, since = ''] = /^running since: (\S+Z)\nended: 7\n$/.exec(stderr) ?? [];
    expect(Math.abs(Date.parse(since) - started)).toBeLessThan(10_000);
    expect(await running().ended).toMatchObject({ exit: 7, stdout: '', stderr: 'ended: 7\n' });
    rmSync(stateFile('exit'));
    expect(await running().ended).toMatchObject({
      exit: 200,
      stdout: '',
      stderr: expect.stringMatching(/^ended: lost\n/),
    });
    expect(await follow(0, 'here-it-is', 'ended')).toMatchObject({ exit: 2 });
  });

  test('the end is reported on stderr: the exit code, even if it is 200, or that it is lost', async () => {
    expect(await follow()).toMatchObject({ exit: 200, stderr: expect.stringMatching(/^ended: lost\n/) });
    for (const code of [0, 7, 200]) {
      await start(`exit ${code}`);
      expect(await follow()).toMatchObject({ exit: code, stderr: `ended: ${code}\n` });
    }
    await start('sleep 0.01; kill -9 $PPID; kill -9 $$');
    expect(await follow()).toMatchObject({ exit: 200, stderr: expect.stringMatching(/^ended: lost\n/) });
  });

  test('a script is followed to its end even if its log is removed', async () => {
    await start(waiting, '7');
    await expect.poll(log).toBe('begin\n');
    rmSync(join(bench.node.paths.root, 'var/log/k8s-upgrade/job.log'));
    // A follower that did not wait would have ended by then.
    setTimeout(go, 500);
    expect(await follow()).toMatchObject({ exit: 7, stdout: '', stderr: 'ended: 7\n' });
  });

  test('two followers receive all of a long log', async () => {
    await start('for i in $(seq 1 20000); do echo "line $i"; done');
    const [one, two] = await Promise.all([follow(), follow()]);
    expect(one.stdout.split('\n')).toHaveLength(20_001);
    expect(two.stdout).toBe(one.stdout);
  });

  test('a second start of the same script with the same arguments joins it', async () => {
    await start(waiting, '0');
    const again = await start(waiting, '0');
    expect(again).toMatchObject({ exit: 0, result: { state: 'joined', offset: 0 } });
    go();
    expect((await follow()).stdout).toBe('begin\nend\n');
  });

  test.each([
    ['arguments', waiting, '1'],
    ['script', 'exit 0', '0'],
  ])('a start with different %s while it runs is refused with 201', async (_what, script, argument) => {
    await start(waiting, '0');
    const other = await start(script, argument);
    expect(other.exit).toBe(201);
    expect(other.lastError).toMatch(
      /^error: job is already running on this node as: job '0'; wait for it to end/,
    );
    go();
    await follow();
  });

  test('of several simultaneous starts one runs the script and the others join', async () => {
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

  test('after its end a script can be started again, with a new log', async () => {
    await start('echo one; exit 3');
    expect((await follow()).exit).toBe(3);
    expect((await start('echo two')).result).toEqual({ state: 'started', offset: 0 });
    expect(await follow()).toMatchObject({ exit: 0, stdout: 'two\n' });
  });

  test('a killed script is lost: exit code 200, and it can be started again', async () => {
    await start('echo begin; sleep 0.01; kill -9 $PPID; kill -9 $$');
    const ended = await follow();
    expect(ended).toMatchObject({ exit: 200, stdout: 'begin\n' });
    expect(ended.lastError).toContain('without an exit code: the node rebooted or somebody killed it');
    expect((await start('exit 0')).result).toEqual({ state: 'started', offset: 0 });
  });

  test('while a process of a killed script still runs, a start joins it', async () => {
    await start(waiting, '0');
    await expect.poll(log).toBe('begin\n');
    process.kill(pid(), 'SIGKILL');
    expect((await start(waiting, '0')).result).toMatchObject({ state: 'joined' });
    // A follower that did not wait would have ended by then.
    setTimeout(go, 500);
    expect(await follow()).toMatchObject({ exit: 200, stdout: 'begin\nend\n' });
  });

  test('a process that a finished script left behind does not delay the next start', {
    timeout: 10_000,
  }, async () => {
    await start('sleep 300 & echo done');
    expect((await follow()).exit).toBe(0);
    expect((await start('echo again')).result).toMatchObject({ state: 'started' });
    expect(await follow()).toMatchObject({ exit: 0, stdout: 'again\n' });
  });

  test('a script is lost in a reboot', async () => {
    await start(waiting, '0');
    const following = follow();
    await bench.node.reboot(1);
    expect((await following).exit).not.toBe(0);
    expect((await follow()).exit).toBe(200);
  });

  test('a follower whose waiting process is killed exits with 202, and the script continues', async () => {
    await start(waiting, '7');
    const following = bench.bash(['-s', '--', 'follow', 'job', '0'], detach);
    await expect.poll(() => isPrinting(following.pid)).toBe(true);
    for (const one of childrenOf(following.pid))
      if (!commandOf(one).startsWith('tail')) process.kill(one, 'SIGKILL');
    expect(await following.ended).toMatchObject({
      exit: 202,
      lastError: 'error: the process that followed job was killed',
    });
    go();
    expect(await follow()).toMatchObject({ exit: 7 });
  });

  test('a follower that disconnects does not affect the script or other followers', async () => {
    await start(waiting, '5');
    const gone = bench.bash(['-s', '--', 'follow', 'job', '0'], detach);
    await expect.poll(log).toContain('begin');
    gone.kill('SIGKILL');
    await gone.ended;
    const following = follow();
    go();
    expect((await following).exit).toBe(5);
  });

  test('script and log are readable by root only', async () => {
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

  test('the script runs with the usual umask', async () => {
    await start('umask');
    expect((await follow()).stdout).toBe('0022\n');
  });
});

describe('bad input of detach.sh', () => {
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
