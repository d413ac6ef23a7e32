import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { type Bench, benchPerBlock, benchPerTest } from '../../test/node-scripts/harness.ts';

let bench: Bench;
const fresh = () =>
  benchPerTest((opened) => {
    bench = opened;
  });
const shared = () =>
  benchPerBlock((opened) => {
    bench = opened;
  });

const containerd = (version: string, ...args: string[]) =>
  bench.run('update_containerd.sh', '--version', version, ...args);

describe('update_containerd.sh', () => {
  fresh();

  test('installs the newest revision of the version, restarts containerd, and restores the hold', async () => {
    writeFileSync(join(bench.node.paths.state, 'hold/containerd.io'), '');
    const { exit, result } = await containerd('1.7.28');
    expect(exit).toBe(0);
    expect(result).toEqual({
      version: '1.7.28',
      from: '1.7.27',
      package: 'containerd.io',
      revision: '1.7.28-1',
      dryRun: false,
    });
    expect(bench.hookCalls).toEqual(['containerd 1.7.28']);
    expect(bench.node.containerd).toBe('1.7.28');
    expect(bench.stateOf('hold/containerd.io')).toBe('');
  });

  test.each([
    ['1.19', 'dpkg frontend is locked'],
    ['1.20', 'dpkg frontend lock is locked'],
    [undefined, 'dpkg frontend lock was locked'],
  ] as const)(
    'waits for dpkg’s lock (%s) before it removes the hold, which apt-mark does not (F24)',
    async (dpkg, message) => {
      writeFileSync(join(bench.node.paths.state, 'hold/containerd.io'), '');
      bench.node.faults.set('apt-lock', { holder: 'unattended-upgr', ...(dpkg && { dpkg }) });
      const running = bench.begin('update_containerd.sh', '--version', '1.7.28');
      await bench.node.started('apt-mark', 'unhold');
      setTimeout(() => bench.node.faults.clear('apt-lock'), 300);
      const { exit, stdout } = await running.ended;
      expect(stdout).toContain(`==> waiting for apt: dpkg: error: ${message} by another process`);
      expect(exit).toBe(0);
      expect(bench.stateOf('hold/containerd.io')).toBe('');
    },
  );

  test('does nothing in a second run', async () => {
    await containerd('1.7.28');
    const { exit, result } = await containerd('1.7.28');
    expect(exit).toBe(0);
    expect(result).toMatchObject({ from: '1.7.28' });
    expect(bench.hookCalls).toEqual(['containerd 1.7.28']);
  });

  test('restarts containerd when the version is installed but not running', async () => {
    writeFileSync(join(bench.node.paths.state, 'dpkg/containerd.io'), '1.7.28-1');
    expect((await containerd('1.7.28')).result).toMatchObject({ from: '1.7.27' });
    expect(bench.hookCalls).toEqual(['containerd 1.7.28']);
  });

  test('updates the distribution’s package', async () => {
    rmSync(join(bench.node.paths.state, 'dpkg/containerd.io'));
    writeFileSync(join(bench.node.paths.state, 'dpkg/containerd'), '1.7.27~ds1-1+b3');
    const offer = (version: string) =>
      `containerd|${version}|http://mirror.invalid/debian bookworm/main amd64 Packages\n`;
    writeFileSync(
      join(bench.node.paths.state, 'other-packages'),
      offer('1.7.28~ds1-1+b1') + offer('1.7.28~ds1-2'),
    );
    expect((await containerd('1.7.28')).result).toMatchObject({
      package: 'containerd',
      revision: '1.7.28~ds1-2',
    });
  });

  test('lists the offered versions when the requested one is missing', async () => {
    const { exit, lastError } = await containerd('1.7.99');
    expect(exit).toBe(4);
    expect(lastError).toContain('offers containerd.io 1.7.99; it offers 1.7.24-1 1.7.27-1 1.7.28-1 2.1.4-1');
    expect(bench.hookCalls).toEqual([]);
  });

  test('names the journal to read when containerd does not start', async () => {
    bench.node.faults.set('containerd-fails', {});
    const { exit, lastError } = await containerd('1.7.28');
    expect(exit).toBe(1);
    expect(lastError).toBe('error: containerd does not start; see journalctl -u containerd on this node');
  });

  test('starts the installed version in a run after one in which containerd did not start', async () => {
    bench.node.faults.set('containerd-fails', {});
    expect((await containerd('1.7.28')).exit).toBe(1);
    // The operator fixes the configuration.
    bench.node.faults.clear('containerd-fails');
    const { exit, stderr, result } = await containerd('1.7.28');
    expect([exit, stderr]).toEqual([0, '']);
    expect(result).toMatchObject({ version: '1.7.28', revision: '1.7.28-1' });
    expect(bench.hookCalls).toEqual(['containerd 1.7.28']);
  });

  test.each(['1.7.27', '1.7.28'])('updates a stopped containerd to %s and starts it', async (version) => {
    await bench.bash(['-c', 'sudo systemctl stop containerd && ! systemctl is-active containerd'], '').ended;
    const { exit, stderr, result } = await containerd(version);
    expect([exit, stderr]).toEqual([0, '']);
    expect(result).toMatchObject({ version, from: '1.7.27' });
    expect(bench.hookCalls).toEqual([`containerd ${version}`]);
    expect((await bench.bash(['-c', 'sudo crictl version'], '').ended).stdout).toContain(`v${version}`);
  });

  test('changes nothing in a dry run', async () => {
    const { exit, stdout } = await containerd('1.7.28', '--dry-run');
    expect(exit).toBe(0);
    expect(stdout).toContain('WOULD: install containerd.io=1.7.28-1 and restart containerd');
    expect(bench.stateOf('dpkg/containerd.io')).toBe('1.7.27-1');
  });
});

describe('bad input of update_containerd.sh', () => {
  shared();

  test.each([
    [['--version', '1.7.24'], '--version: 1.7.24 is older than containerd 1.7.27 on this node'],
    [['--version', 'v1.7.28'], '--version: "v1.7.28" is not allowed'],
    [[], '--version: expected'],
  ])('refuses %j', async (args, message) => {
    const { exit, lastError } = await bench.run('update_containerd.sh', ...args);
    expect(lastError).toContain(`error: ${message}`);
    expect(exit).toBe(2);
  });
});
