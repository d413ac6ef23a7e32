import { copyFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { objectNames } from '../../runtime/src/names.ts';
import { during } from '../lab/waits.ts';
import { drained } from '../scenarios/observe.ts';
import { detect, type HostCluster, pipeline, startHostCluster } from './cluster.ts';
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
  // The snapshot of an empty etcd would be refused.
  await cluster.etcd.fill(10);
}, 300_000);
afterAll(() => cluster?.stop(), 60_000);

/** The host keys that the pipeline has stored. */
const remembered = () =>
  cluster.lab.api.store.get('configmaps', objectNames.namespace, objectNames.knownHosts)?.data;

const useKeyring = (host: Host, file: string) => copyFileSync(file, join(host.root, keyring));

it('F24: detection names an expired repository key, and the operator can renew it; F27: it stores the first host key', async () => {
  const { key, repository } = cluster;
  useKeyring(master, key.expired);
  expect(remembered()).toBeUndefined();
  const { exitCode, log } = await detect(cluster.lab);
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
  // When older package lists exist, apt only warns and keeps them.
  useKeyring(master, key.expired);
  const stale = await operator(cluster, master, 'list_packages.sh', '--package', 'kubeadm');
  expect(stale, stale.output).toMatchObject({ exitCode: 1 });
  expect(stale.output).toMatch(/^W: .*EXPKEYSIG/m);
  expect(stale.output).toMatch(/has expired: .+; fetch the current one with set_repository\.sh/);
  useKeyring(master, key.current);
}, 180_000);

it('F27: a changed host key is refused before anything is sent', async () => {
  const known = remembered();
  const before = master.logins;
  const restore = await master.changeHostKey();
  const { exitCode, log } = await detect(cluster.lab).finally(restore);
  expect(exitCode, log).toBe(3);
  expect(log).toContain('node k8s-master (198.18.1.1) shows the host key SHA256:');
  expect(master.logins).toBe(before);
  expect(master.read('/var/log/sshd.log')).toMatch(/^Disconnected from 198\.18\.1\.254 .*\[preauth\]/m);
  expect(remembered()).toEqual(known);
}, 180_000);

it('F5 F24: the upgrade continues after a held dpkg lock, a network outage and a reboot while dpkg runs', async () => {
  const { lab } = cluster;
  const [node1, node2] = [lab.node('k8s-node1'), lab.node('k8s-node2')];
  // kubeadm finishes while the link is down, so that the kubelet is installed without a network.
  node2.setDuration('kubeadm', 20);
  node1.setDuration('apt-unpack', 5);
  const playing = pipeline(lab);
  await during(playing, holdLockUntilReported());
  await during(playing, cutNetworkDuringUpgrade(node2));
  await during(playing, rebootDuringUnpacking(node1));
  const { exitCodes, log } = await playing;
  expect(exitCodes, log).toEqual([0, 0]);
  expect(log).toMatch(/waiting for apt: Could not get lock \S+lock-frontend/);
  expect(log).toMatch(/k8s-node2.*; reconnecting/);
  // Its packages were fetched before the drain.
  expect(log).not.toContain('waiting for the network: ');
  const upgrades = node2.history.filter(({ program, args }) => program === 'kubeadm' && args[1] === 'node');
  expect(upgrades).toHaveLength(1);
  expect(log).toContain('update_k8s on k8s-node1 was interrupted (a reboot?); starting it again');
  expect(await drained(lab)).toEqual(['k8s-master', 'k8s-node2', 'k8s-node1']);
  for (const host of lab.nodes.values()) {
    expect(await host.packages('kubeadm', 'kubectl', 'kubelet'), host.name).toEqual(
      ['kubeadm', 'kubectl', 'kubelet'].map((name) => `${name} 1.34.5-1.1 hold ok installed`),
    );
    expect(await host.exec('dpkg', '--audit'), host.name).toBe('');
  }
  expect(remembered()).toEqual(
    Object.fromEntries([...lab.nodes].map(([name, host]) => [name, host.hostKey])),
  );
}, 600_000);

/** Cuts the host's network for a minute, during which its script continues alone. */
async function cutNetworkDuringUpgrade(host: Host): Promise<void> {
  await host.started('kubeadm', 'upgrade', 'node');
  await host.setLink('down');
  await sleep(60_000);
  await host.setLink('up');
}

/** Reboots the host while dpkg unpacks a package. */
async function rebootDuringUnpacking(host: Host): Promise<void> {
  await host.dpkgRuns('kubelet preinst');
  await host.reboot();
  host.setDuration('apt-unpack', 0);
}

async function holdLockUntilReported(): Promise<void> {
  const reported = scriptPrints(
    'k8s-master',
    /waiting for apt: Could not get lock .*lock-frontend\. It is held by process \d+/,
  );
  const release = await holdLock(master);
  await reported;
  await sleep(2_000);
  expect(await master.packages('kubeadm')).toEqual([expect.stringContaining('1.34.2')]);
  release();
}

/**
 * Takes dpkg's lock in another process, as unattended-upgrades does. Resolves with a function that releases
 * it.
 */
async function holdLock(host: Host): Promise<() => void> {
  // struct flock of a 64-bit Linux.
  const script = `use Fcntl; open(my $f, ">>", "/var/lib/dpkg/lock-frontend") or die;
    my $lock = pack("s s x4 q q l x4", F_WRLCK, 0, 0, 0, 0);
    fcntl($f, F_SETLK, $lock) or die "not locked: $!";
    $| = 1; print "held\\n"; <STDIN>;`;
  const child = host.spawn('perl', '-e', script);
  await new Promise((resolve, reject) => {
    child.stdout?.once('data', resolve);
    child.once('close', () => reject(new Error('cannot take dpkg’s lock')));
  });
  return () => child.stdin?.end('\n');
}

/** Resolves when a script on the node prints a line that matches. */
function scriptPrints(node: string, pattern: RegExp): Promise<void> {
  return new Promise((resolve) => {
    cluster.lab.events.on('run-event', (event) => {
      if (event.type === 'script' && event.node === node && pattern.test(event.line)) resolve();
    });
  });
}
