import { copyFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { objectNames } from '../../runtime/src/names.ts';
import { drained } from '../scenarios/observe.ts';
import { type HostCluster, pipeline, startHostCluster } from './cluster.ts';
import type { Host } from './host.ts';
import { operator } from './operator.ts';

const names = ['k8s-master', 'k8s-node1', 'k8s-node2'];
const keyring = '/etc/apt/keyrings/kubernetes-apt-keyring.gpg';
let cluster: HostCluster;
let master: Host;

beforeAll(async () => {
  cluster = await startHostCluster({
    number: 1,
    names,
    settings: (base) => ({ ...base, ssh: { ...base.ssh, hostKeys: { policy: 'accept-new', known: {} } } }),
  });
  master = cluster.lab.node('k8s-master');
  // A snapshot of an etcd without keys is refused.
  await cluster.etcd.fill(10);
}, 300_000);
afterAll(() => cluster?.stop(), 60_000);

/** The host keys that the pipeline has remembered. */
const remembered = () =>
  cluster.lab.api.store.get('configmaps', objectNames.namespace, objectNames.knownHosts)?.data;

/** One detection with the detector's account; no Job that would try again. */
async function detect(): Promise<{ exitCode: number; log: string }> {
  const { namespace, detectorServiceAccount: serviceAccount } = objectNames;
  const { exitCode, stdout, stderr } = await cluster.lab.cli(['detect'], {
    user: { namespace, serviceAccount },
  });
  return { exitCode, log: stdout + stderr };
}

const useKeyring = (host: Host, file: string) => copyFileSync(file, join(host.root, keyring));

const logins = (host: Host) => host.read('/var/log/sshd.log').match(/^Accepted /gm)?.length ?? 0;

it('F24: an expired repository key is named, and fetched again by hand; F27: the first host key is remembered', async () => {
  const { key, repository } = cluster;
  useKeyring(master, key.expired);
  expect(remembered()).toBeUndefined();
  const { exitCode, log } = await detect();
  expect(exitCode, log).toBe(1);
  expect(log).toMatch(/the signing key of the repository in \S+kubernetes\.list has expired/);
  expect(remembered()).toEqual({ 'k8s-master': master.hostKey });
  const renewed = await operator(
    cluster,
    master,
    'set_repository.sh',
    '--minor',
    '1.34',
    '--url',
    repository.base,
  );
  expect(renewed, renewed.output).toMatchObject({ exitCode: 0 });
  expect(renewed.output).toMatch(/^result: .*"newest":"1\.34\.5-1\.1"/m);
  // With lists of an earlier day apt only warns and keeps them.
  useKeyring(master, key.expired);
  const stale = await operator(cluster, master, 'list_packages.sh', '--package', 'kubeadm');
  expect(stale, stale.output).toMatchObject({ exitCode: 1 });
  expect(stale.output).toMatch(/^W: .*EXPKEYSIG/m);
  expect(stale.output).toContain('has expired; fetch the current one with set_repository.sh');
  useKeyring(master, key.current);
}, 180_000);

it('F27: a changed host key is refused before anything is sent', async () => {
  const known = remembered();
  const before = logins(master);
  const restore = await master.changeHostKey();
  const { exitCode, log } = await detect().finally(restore);
  expect(exitCode, log).toBe(3);
  expect(log).toContain('node k8s-master (198.18.1.1) shows the host key SHA256:');
  expect(logins(master)).toBe(before);
  expect(master.read('/var/log/sshd.log')).toMatch(/^Disconnected from 198\.18\.1\.254 .*\[preauth\]/m);
  expect(remembered()).toEqual(known);
}, 180_000);

it('F24: an upgrade waits for a program that holds dpkg’s lock, and goes on', async () => {
  const { lab } = cluster;
  const playing = pipeline(lab);
  // A run that ends early does not wait for what is to befall it.
  await Promise.race([holdLockUntilItIsNoticed(), playing]);
  const { exitCodes, log } = await playing;
  expect(exitCodes, log).toEqual([0, 0]);
  expect(log).toContain('waiting for apt: dpkg: error: dpkg frontend lock was locked by another process');
  expect(drained(lab)).toEqual(['k8s-master', 'k8s-node2', 'k8s-node1']);
  for (const host of lab.nodes.values()) {
    expect(await host.packages('kubeadm', 'kubectl', 'kubelet'), host.name).toEqual(
      ['kubeadm', 'kubectl', 'kubelet'].map((name) => `${name} 1.34.5-1.1 hold ok installed`),
    );
    expect(await host.exec('dpkg', '--audit'), host.name).toBe('');
  }
  expect(remembered()).toEqual(
    Object.fromEntries([...lab.nodes].map(([name, host]) => [name, host.hostKey])),
  );
}, 300_000);

async function holdLockUntilItIsNoticed(): Promise<void> {
  const noticed = said(
    'k8s-master',
    /waiting for apt: .*frontend lock was locked by another process with pid \d+/,
  );
  const release = await holdLock(master);
  await noticed;
  await sleep(2_000);
  expect(await master.packages('kubeadm')).toEqual([expect.stringContaining('1.34.2')]);
  release();
}

/** Another program has dpkg's lock, as unattended-upgrades would. Resolves with what gives it back. */
async function holdLock(host: Host): Promise<() => void> {
  // struct flock of a 64-bit Linux.
  const script = `use Fcntl; open(my $f, ">>", "/var/lib/dpkg/lock-frontend") or die;
    my $lock = pack("s s x4 q q l x4", F_WRLCK, 0, 0, 0, 0);
    fcntl($f, F_SETLK, $lock) or die "not locked: $!";
    $| = 1; print "held\\n"; <STDIN>;`;
  const child = host.spawn('perl', '-e', script);
  await new Promise((resolve, reject) => {
    child.stdout?.once('data', resolve);
    child.once('close', () => reject(new Error('dpkg’s lock cannot be held')));
  });
  return () => child.stdin?.end('\n');
}

/** Until a script on a node has printed a line like this. */
function said(node: string, pattern: RegExp): Promise<void> {
  return new Promise((resolve) => {
    cluster.lab.events.on('run-event', (event) => {
      if (event.type === 'script' && event.node === node && pattern.test(event.line)) resolve();
    });
  });
}
