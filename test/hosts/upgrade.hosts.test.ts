import { afterAll, beforeAll, expect, it } from 'vitest';
import { drained } from '../scenarios/observe.ts';
import { detect, type HostCluster, pipeline, startHostCluster } from './cluster.ts';
import { hostPaths } from './deb.ts';
import type { EtcdKey } from './etcd.ts';

let cluster: HostCluster;
const kubernetes = ['kubeadm', 'kubectl', 'kubelet'];
const workers = ['k8s-node4', 'k8s-node3', 'k8s-node2', 'k8s-node1'];

beforeAll(async () => {
  cluster = await startHostCluster({ number: 0 });
  const { etcd, lab } = cluster;
  // The workers are ahead of the control plane.
  await Promise.all([
    etcd.fill(1_000),
    ...workers.map((name) => lab.node(name).install('containerd.io=2.1.5-1')),
  ]);
}, 300_000);
afterAll(() => cluster?.stop(), 60_000);

/** Expects that every host has the release installed and its packages held. */
async function expectHeldAt(release: string): Promise<void> {
  for (const host of cluster.lab.nodes.values()) {
    expect(await host.packages(...kubernetes), host.name).toEqual(
      kubernetes.map((name) => `${name} ${release}-1.1 hold ok installed`),
    );
    expect(await host.held(), host.name).toEqual(kubernetes);
    expect(await host.exec('dpkg', '--audit'), host.name).toBe('');
    expect(await host.exec('kubelet', '--version')).toBe(`Kubernetes v${release}\n`);
  }
  const nodes = cluster.lab.api.store.list('nodes');
  expect(nodes.map((node) => node.status?.nodeInfo?.kubeletVersion)).toEqual(nodes.map(() => `v${release}`));
}

it('a patch upgrades all packages and holds them again; containerd keeps the operator’s configuration', async () => {
  const { lab } = cluster;
  const { exitCodes, log } = await pipeline(lab);
  expect(exitCodes, log).toEqual([0, 0]);
  await expectHeldAt('1.34.5');
  expect(await drained(lab)).toEqual(['k8s-master', ...workers]);
  const master = lab.node('k8s-master');
  expect(await master.packages('containerd.io')).toEqual(['containerd.io 2.1.5-1 install ok installed']);
  expect(master.read('/etc/containerd/config.toml')).toBe('version = 3\n');
  expect(master.read(`${hostPaths.node}/state/running/containerd`).trim()).toBe('2.1.5');
  // All logins were by the user wizard with the key.
  for (const host of lab.nodes.values()) {
    expect(host.read('/var/log/sshd.log')).not.toMatch(/Accepted (?!publickey for wizard)/);
    expect(host.exists('/var/log/k8s-upgrade/update_k8s.log')).toBe(true);
  }
}, 300_000);

it('the snapshot, restored into a separate etcd, has every key with its revision and version', async () => {
  const { lab, etcd } = cluster;
  const master = lab.node('k8s-master');
  const directory = '/mnt/main/etcd-backup';
  const names = (await master.exec('ls', directory)).split('\n').filter((name) => name.endsWith('.db'));
  expect(names).toEqual([expect.stringMatching(/^k8s-upgrade-pre-1\.34\.5-\d+\.db$/)]);
  const before = await etcd.keys();
  expect(before.keys.length).toBeGreaterThan(900);
  expect(before.keys.filter((key) => key.version === 2).length).toBeGreaterThan(100);
  // Change the running etcd, so that reading it instead of the restored one would fail the test.
  await etcd.fill(1);
  const restored = await etcd.restored(`${directory}/${names[0]}`);
  expect(restored.revision).toBe(before.revision);
  const byKey = (keys: readonly EtcdKey[]) => Object.fromEntries(keys.map((key) => [key.key, key]));
  expect(byKey(restored.keys)).toEqual(byKey(before.keys));
  expect((await etcd.keys()).revision).toBeGreaterThan(before.revision);
  expect(await master.exec('ls', '-A', '/var/lib/etcd')).toBe('member\n');
}, 120_000);

it('F27: a host key other than the pinned one is refused before anything is sent', async () => {
  const master = cluster.lab.node('k8s-master');
  const before = master.logins;
  const restore = await master.changeHostKey();
  const { exitCode, log } = await detect(cluster.lab).finally(restore);
  expect(exitCode, log).toBe(3);
  expect(log).toContain('node k8s-master (198.18.0.1) shows the host key SHA256:');
  expect(master.logins).toBe(before);
}, 180_000);

it('a minor switches every host to the new repository and its key, and installs newer dependencies', async () => {
  const { lab, repository, key } = cluster;
  const olderKey = await key.rotate();
  await repository.publish('1.35', ['1.35.0', '1.35.2']);
  const { exitCodes, log } = await pipeline(lab);
  expect(exitCodes, log).toEqual([0, 0]);
  await expectHeldAt('1.35.2');
  for (const host of lab.nodes.values()) {
    const source = `deb [signed-by=/etc/apt/keyrings/kubernetes-apt-keyring.gpg] ${repository.base}v1.35/deb/ /\n`;
    expect(host.read('/etc/apt/sources.list.d/kubernetes.list'), host.name).toBe(source);
    const shown = await host.exec(
      'gpg',
      '--show-keys',
      '--with-colons',
      '/etc/apt/keyrings/kubernetes-apt-keyring.gpg',
    );
    expect(shown).toContain(key.fingerprint);
    expect(shown).not.toContain(olderKey);
    expect(await host.packages('kubernetes-cni')).toEqual(['kubernetes-cni 1.8.0-1.1 install ok installed']);
    expect(await host.exec('apt-cache', 'madison', 'kubeadm')).not.toContain('1.34');
  }
}, 300_000);
