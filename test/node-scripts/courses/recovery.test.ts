import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import type { LabNodeOptions } from '../../lab/nodes/node.ts';
import { Bench } from '../harness.ts';

let bench: Bench;
const open = async (options: Partial<LabNodeOptions> = {}) => {
  bench = await Bench.open(options);
};
const update = (release: string, ...args: string[]) =>
  bench.run('update_k8s.sh', '--role', 'master', '--release', release, ...args);
const setRepository = (minor: string) =>
  bench.run('set_repository.sh', '--minor', minor, '--url', bench.repository.base);
const inState = (path: string) => join(bench.node.paths.state, path);

/** Expects the state after a failure: all packages held, the old kubelet installed and running. */
function expectUnharmed(release: string): void {
  expect(bench.held()).toBe(true);
  expect(bench.packages().kubelet).toBe(`${release}-1.1`);
  expect(bench.stateOf('running/kubelet')?.trim()).toBe(release);
}

async function expectRepaired(release: string, ...args: string[]): Promise<void> {
  const { exit, stderr } = await update(release, ...args);
  expect([exit, stderr]).toEqual([0, '']);
  expect(new Set(Object.values(bench.packages()))).toEqual(new Set([`${release}-1.1`]));
  expect(bench.held()).toBe(true);
  expect(bench.stateOf('running/kubelet')?.trim()).toBe(release);
  expect(bench.node.read('/etc/kubernetes/manifests/kube-apiserver.yaml')).toContain(`:v${release}\n`);
}

describe('a script reports its failure, and the next run repairs it', () => {
  afterEach(() => bench.close());

  test('a full disk that is detected before anything is changed', async () => {
    await open();
    bench.node.faults.set('disk-full', { mib: 300, path: '/usr' });
    expect((await update('1.34.5')).lastError).toMatch(
      /^error: only 300 MiB are free on the file system of \/usr/,
    );
    expectUnharmed('1.34.2');
    bench.node.faults.clear('disk-full');
    await expectRepaired('1.34.5');
  });

  test('a full disk that apt detects', async () => {
    await open();
    bench.node.faults.set('disk-full', { mib: 0, path: '/var/cache' });
    expect((await update('1.34.5')).lastError).toBe(
      "error: apt-get install kubeadm=1.34.5-1.1 failed: E: You don't have enough free space in /var/cache/apt/archives/.",
    );
    expectUnharmed('1.34.2');
    bench.node.faults.clear('disk-full');
    await expectRepaired('1.34.5');
  });

  test('an expired repository key, once set_repository.sh has fetched the new one', async () => {
    await open();
    await bench.run('list_packages.sh', '--package', 'kubeadm');
    bench.node.expireRepositoryKey();
    expect((await update('1.34.5')).lastError).toMatch(
      /has expired: .*; fetch the current one with set_repository\.sh$/,
    );
    expectUnharmed('1.34.2');
    expect((await setRepository('1.34')).exit).toBe(0);
    await expectRepaired('1.34.5');
  });

  test('a missing version, once it has been published', async () => {
    await open();
    expect((await update('1.34.7')).lastError).toContain('offers no kubeadm 1.34.7');
    expectUnharmed('1.34.2');
    bench.repository.publish('1.34.7');
    await expectRepaired('1.34.7');
  });

  test('a minor that the repository does not have, once set_repository.sh has switched it', async () => {
    await open();
    expect((await update('1.35.1')).lastError).toContain('change it with set_repository.sh --minor 1.35');
    expectUnharmed('1.34.2');
    expect((await setRepository('1.35')).exit).toBe(0);
    await expectRepaired('1.35.1');
  });

  test('F20: a static pod that kubeadm rolled back', async () => {
    await open();
    rmSync(join(bench.node.paths.root, 'etc/kubernetes/manifests/etcd.yaml'));
    bench.node.faults.set('static-pod-hash', { component: 'kube-apiserver', how: 'reverted', times: 1 });
    expect((await update('1.34.5')).lastError).toBe(
      'error: kubeadm gave up on kube-apiserver, which is at 1.34.2; see crictl ps -a and journalctl -u kubelet on this node, then run this again',
    );
    expectUnharmed('1.34.2');
    await expectRepaired('1.34.5');
  });

  test('F21: a CoreDNS that kubeadm refuses, once the settings in the message are used', async () => {
    await open();
    bench.node.faults.set('coredns', {});
    const { lastError } = await update('1.34.5');
    const named = /\(here: (.*)\)$/.exec(lastError)?.[1]?.split(' ') ?? [];
    expect(named).toHaveLength(4);
    expectUnharmed('1.34.2');
    await expectRepaired('1.34.5', ...named);
  });

  test('a kubelet that does not become active, when the script is killed while waiting for it', async () => {
    await open();
    bench.node.faults.set('kubelet-fails', {});
    const running = bench.begin('update_k8s.sh', '--role', 'master', '--release', '1.34.5');
    await bench.node.started('systemctl', 'is-active');
    running.kill('SIGKILL');
    await running.ended;
    expect(bench.held()).toBe(true);
    bench.node.faults.clear('kubelet-fails');
    await expectRepaired('1.34.5');
  });
});

describe('after dpkg was killed', () => {
  afterEach(() => bench.close());
  const journal = () => join(bench.node.paths.root, 'var/lib/dpkg/updates/0001');

  test('a run finishes its journal even if no package is half configured', async () => {
    await open();
    writeFileSync(journal(), '');
    await expectRepaired('1.34.5');
    expect(existsSync(journal())).toBe(false);
  });

  test('the repair waits for the lock', async () => {
    await open();
    writeFileSync(inState('dpkg-interrupted'), '');
    writeFileSync(journal(), '');
    bench.node.faults.set('apt-lock', { holder: 'unattended-upgr' });
    // update_containerd.sh repairs before it reads the package lists, which have a separate lock.
    const running = bench.begin('update_containerd.sh', '--version', '1.7.28');
    await bench.node.started('dpkg', '--force-confdef');
    setTimeout(() => bench.node.faults.clear('apt-lock'), 300);
    const { exit, stdout } = await running.ended;
    expect(stdout).toContain('==> waiting for apt: dpkg: error: dpkg frontend lock was locked');
    expect(exit).toBe(0);
  });

  test('update_containerd.sh finishes its work even if the new version is already on disk', async () => {
    await open();
    writeFileSync(inState('dpkg/containerd.io'), '1.7.28-1');
    writeFileSync(inState('dpkg-interrupted'), '');
    writeFileSync(journal(), '');
    expect((await bench.run('update_containerd.sh', '--version', '1.7.28')).exit).toBe(0);
    expect(existsSync(inState('dpkg-interrupted'))).toBe(false);
    expect(readFileSync(inState('running/containerd'), 'utf8').trim()).toBe('1.7.28');
  });
});
