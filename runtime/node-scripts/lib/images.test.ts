import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import type { LabNodeOptions } from '../../../test/lab/nodes/node.ts';
import { Bench } from '../../../test/node-scripts/harness.ts';

let bench: Bench;
const open = async (options: Partial<LabNodeOptions> = {}) => {
  bench = await Bench.open(options);
};
const worker = { name: 'k8s-node1', role: 'worker' } as const;
const release = '1.34.5';
const prepare = (...args: string[]) =>
  bench.run('update_k8s.sh', '--prepare', '--role', 'master', '--release', release, ...args);
const prepareWorker = (...args: string[]) =>
  bench.run('update_k8s.sh', '--prepare', '--role', 'worker', '--release', release, ...args);

const images = (repository: string, coredns = `${repository}/coredns/coredns:v1.12.1`) => [
  ...['apiserver', 'controller-manager', 'scheduler', 'proxy'].map(
    (name) => `${repository}/kube-${name}:v${release}`,
  ),
  coredns,
  `${repository}/pause:3.10.1`,
  `${repository}/etcd:3.6.5-0`,
];
/** What the node runs before the upgrade. */
const before = 'registry.k8s.io/kube-proxy:v1.34.2';
/** The images that the node has besides. */
const stored = () =>
  bench
    .stateOf('images')
    ?.split('\n')
    .filter((name) => name !== '' && name !== before) ?? [];
const store = (...names: string[]) =>
  writeFileSync(join(bench.node.paths.state, 'images'), names.map((name) => `${name}\n`).join(''));
const calls = (program: string) =>
  bench.node.history.filter((run) => run.program === program).map(({ args }) => args.join(' '));
const pulls = () => calls('crictl').filter((line) => / pull /.test(line));
const without = (program: string) => rmSync(join(bench.node.paths.bin, program));
/** containerd's own client, which lists the images of the lab's store. */
const withCtr = () =>
  writeFileSync(
    join(bench.node.paths.bin, 'ctr'),
    '#!/bin/bash\n[[ "$*" == "--namespace k8s.io images ls --quiet" ]] && cat "$LAB_NODE_DIR/state/images"\n',
    { mode: 0o755 },
  );

describe('update_k8s.sh --prepare pulls images (F54, F70)', () => {
  afterEach(() => bench.close());

  test('that the kubeadm of the target lists, which it takes out of its package', async () => {
    await open();
    const { exit, stderr, result } = await prepare();
    expect([exit, stderr]).toEqual([0, '']);
    expect(stored()).toEqual(images('registry.k8s.io'));
    expect(result).toMatchObject({ release, images: 7, pulled: 7, dryRun: false });
    expect(calls('dpkg-deb')).toEqual([expect.stringMatching(/archives\/kubeadm_1\.34\.5-1\.1_amd64\.deb$/)]);
    expect(existsSync(join(bench.node.paths.root, 'var/lib/k8s-upgrade-prepare'))).toBe(false);
  });

  test('of the release in question, when a minor brings another etcd', async () => {
    await open();
    await bench.run('set_repository.sh', '--minor', '1.35', '--url', bench.repository.base);
    await bench.run('update_k8s.sh', '--prepare', '--role', 'master', '--release', '1.35.1');
    expect(stored()).toContain('registry.k8s.io/etcd:3.6.6-0');
    expect(stored()).toContain('registry.k8s.io/kube-apiserver:v1.35.1');
  });

  test('from the cluster’s own repository', async () => {
    await open();
    writeFileSync(
      join(bench.node.environment.LAB_CLUSTER_DIR ?? '', 'image-repository'),
      'r.corp:5000/k8s\n',
    );
    expect((await prepare()).exit).toBe(0);
    expect(stored()).toEqual(images('r.corp:5000/k8s', 'r.corp:5000/k8s/coredns:v1.12.1'));
  });

  test('that are missing only, so a node without a registry passes with imported images', async () => {
    await open();
    store(...images('registry.k8s.io'));
    bench.node.faults.set('no-images', { matching: '.' });
    const { exit, result } = await prepare();
    expect([exit, result]).toMatchObject([0, { images: 7, pulled: 0 }]);
    expect(pulls()).toEqual([]);
  });

  test('of kube-proxy alone on a worker, and none where it is left out', async () => {
    await open(worker);
    expect(await prepareWorker()).toMatchObject({ exit: 0, result: { images: 1, pulled: 1 } });
    expect(stored()).toEqual([`registry.k8s.io/kube-proxy:v${release}`]);
    store();
    const { result } = await prepareWorker('--skip-phases', 'addon/kube-proxy');
    expect(result).toMatchObject({ images: 0, pulled: 0 });
    expect(stored()).toEqual([]);
  });

  test('and tries again once, as a registry may fail for a moment', async () => {
    await open();
    bench.node.faults.set('no-images', { matching: 'kube-', times: 2 });
    expect((await prepare()).exit).toBe(0);
    expect(pulls()).toHaveLength(7 + 2);
    expect(stored().sort()).toEqual(images('registry.k8s.io').sort());
  });

  test('through the socket of the kubelet, wherever that is written', async () => {
    await open();
    bench.node.write('/var/lib/kubelet/kubeadm-flags.env', 'KUBELET_KUBEADM_ARGS=""\n');
    bench.node.write(
      '/var/lib/kubelet/instance-config.yaml',
      'apiVersion: kubelet.config.k8s.io/v1beta1\ncontainerRuntimeEndpoint: "unix:///run/crio/crio.sock"\n',
    );
    const { lastError } = await prepare();
    expect(pulls()[0]).toContain('--image-endpoint unix:///run/crio/crio.sock');
    expect(lastError).toMatch(/^error: 7 images could not be pulled: .*: validate service connection: /);
  });
});

describe('update_k8s.sh --prepare fails in one bounded sentence', () => {
  afterEach(() => bench.close());

  test('when one image is missing', async () => {
    await open();
    bench.node.faults.set('no-images', { matching: 'etcd' });
    const { exit, lastError } = await prepare();
    expect(exit).toBe(1);
    expect(lastError).toBe(
      'error: 1 image could not be pulled: etcd:3.6.5-0: registry.k8s.io/etcd:3.6.5-0: not found',
    );
    expect(bench.packages().kubeadm).toBe('1.34.2-1.1');
    expect(bench.held()).toBe(true);
  });

  test('when all are missing in a registry with a long name', async () => {
    await open();
    const repository = `registry.${'department.'.repeat(12)}corp.example/kubernetes`;
    writeFileSync(join(bench.node.environment.LAB_CLUSTER_DIR ?? '', 'image-repository'), `${repository}\n`);
    bench.node.faults.set('no-images', { matching: '.' });
    const { lastError } = await prepare();
    const message = lastError.replace(/^error: /, '');
    expect(message).toMatch(/^7 images could not be pulled: kube-apiserver:v1\.34\.5, .*\.\.\.$/);
    expect(message.length).toBe(300);
  });

  test('unless kubeadm is to continue without images', async () => {
    await open();
    bench.node.faults.set('no-images', { matching: 'etcd' });
    // As kubeadm compares them.
    const { exit, stdout } = await prepare('--ignore-preflight-errors', 'Swap,imagepull');
    expect(exit).toBe(0);
    expect(stdout).toContain('==> warning: 1 image could not be pulled: etcd:3.6.5-0');
  });

  test('when the cluster’s configuration cannot be read; it waits for an API server that is away', async () => {
    await open();
    bench.node.faults.set('no-api', { times: 1 });
    const { exit, stdout } = await prepare();
    expect(exit).toBe(0);
    expect(stdout).toContain(
      '==> waiting for the network: The connection to the server 10.0.20.10:6443 was refused',
    );
    rmSync(join(bench.node.paths.bin, 'kubectl'));
    writeFileSync(
      join(bench.node.paths.bin, 'kubectl'),
      '#!/bin/bash\necho \'Error from server (Forbidden): configmaps "kubeadm-config" is forbidden\' >&2\nexit 1\n',
      { mode: 0o755 },
    );
    expect((await prepare()).lastError).toMatch(
      /^error: cannot read the ConfigMap kube-system\/kubeadm-config, .*: Error from server \(Forbidden\)/,
    );
  });
});

describe('update_k8s.sh --prepare on a node without crictl', () => {
  afterEach(() => bench.close());

  test('pulls with the kubeadm of the target', async () => {
    await open({ name: 'k8s-master2' });
    without('crictl');
    expect((await prepareWorker()).exit).toBe(0);
    expect(stored()).toEqual(images('registry.k8s.io'));
    expect(calls('kubeadm').at(-1)).toMatch(/^config images pull --config \S+\/kubeadm\.yaml$/);
  });

  test('asks containerd what is present before it pulls', async () => {
    await open({ name: 'k8s-master2' });
    without('crictl');
    withCtr();
    store(...images('registry.k8s.io'));
    bench.node.faults.set('no-images', { matching: '.' });
    expect(await prepareWorker()).toMatchObject({ exit: 0, result: { pulled: 0 } });
    store(...images('registry.k8s.io').slice(1));
    expect((await prepareWorker()).lastError).toMatch(
      /^error: 1 image could not be pulled: kube-apiserver:v1\.34\.5: registry\S+: not found$/,
    );
  });

  test('continues when nothing shows what is present', async () => {
    await open({ name: 'k8s-master2' });
    without('crictl');
    bench.node.faults.set('no-images', { matching: '.' });
    const { exit, stdout } = await prepareWorker();
    expect(exit).toBe(0);
    expect(stdout).toContain('==> warning: 7 images could not be pulled: ');
  });

  test('leaves a worker’s image to its kubelet', async () => {
    await open(worker);
    without('crictl');
    const { exit, stdout, result } = await prepareWorker();
    expect([exit, result]).toMatchObject([0, { images: 1, pulled: 0 }]);
    expect(stdout).toContain(
      '==> warning: crictl is missing on this node, so registry.k8s.io/kube-proxy:v1.34.5',
    );
  });
});

describe('update_k8s.sh --prepare and packages', () => {
  afterEach(() => bench.close());

  test('are only downloaded: installed versions and holds stay, nothing is restarted', async () => {
    await open();
    expect((await prepare()).exit).toBe(0);
    expect(bench.packages()).toEqual({ kubeadm: '1.34.2-1.1', kubelet: '1.34.2-1.1', kubectl: '1.34.2-1.1' });
    expect(bench.changes().filter((line) => !line.startsWith('apt-get'))).toEqual([]);
    expect(bench.changes().filter((line) => / install /.test(line))).toEqual([
      expect.stringContaining('install --simulate'),
      expect.stringContaining('--download-only --no-remove'),
    ]);
    for (const name of ['kubeadm', 'kubelet', 'kubectl'])
      expect(
        existsSync(join(bench.node.paths.root, `var/cache/apt/archives/${name}_1.34.5-1.1_amd64.deb`)),
      ).toBe(true);
  });

  test('are not asked for again on a node that has them', async () => {
    await open();
    expect((await bench.run('update_k8s.sh', '--role', 'master', '--release', release)).exit).toBe(0);
    const before = bench.changes().length;
    expect(await prepare()).toMatchObject({ exit: 0, result: { images: 7, pulled: 0 } });
    expect(bench.changes().slice(before).join()).not.toContain('install');
    expect(calls('dpkg-deb')).toEqual([]);
  });

  test('that apt would have to change although they are held are named', async () => {
    await open();
    writeFileSync(join(bench.node.paths.state, 'hold/kubernetes-cni'), '');
    const { exit, lastError } = await prepare();
    expect([exit, lastError]).toEqual([
      1,
      'error: apt would have to change held packages (kubernetes-cni); release them with apt-mark unhold',
    ]);
  });

  test('that cannot be downloaded fail it', async () => {
    await open();
    bench.node.faults.set('disk-full', { mib: 5_000 });
    const { exit, lastError } = await prepare();
    expect(exit).toBe(1);
    expect(lastError).toMatch(
      /^error: apt-get cannot download kubeadm=1\.34\.5-1\.1 .*: E: You don't have enough/,
    );
  });

  test('are left alone after an interrupted installation; kubeadm is fetched beside them', async () => {
    await open();
    bench.node.write('/var/lib/dpkg/updates/0001', '');
    const { exit, stdout } = await prepare();
    expect(exit).toBe(0);
    expect(stdout).toContain('==> a package installation was interrupted here');
    expect(calls('apt-get').at(-1)).toBe('-q -y download kubeadm=1.34.5-1.1');
    expect(existsSync(join(bench.node.paths.root, 'var/lib/dpkg/updates/0001'))).toBe(true);
    expect(stored()).toHaveLength(7);
  });

  test('are not fetched in a dry run, which says what would be', async () => {
    await open();
    await bench.run('list_packages.sh', '--package', 'kubeadm');
    const before = bench.changes();
    const { exit, stdout } = await prepare('--dry-run');
    expect(exit).toBe(0);
    expect(stdout).toMatch(
      /^WOULD: download kubeadm=1\.34\.5-1\.1 kubelet=1\.34\.5-1\.1 kubectl=1\.34\.5-1\.1$/m,
    );
    expect(stdout).toMatch(/^WOULD: pull the images of 1\.34\.5 that are missing here$/m);
    expect([bench.changes(), stored()]).toEqual([before, []]);
  });

  test('need space, which copies of kubeadm that the upgrade removes first may give', async () => {
    await open();
    bench.node.faults.set('disk-full', { mib: 300, path: '/var/lib' });
    expect((await prepare()).lastError).toMatch(/^error: only 300 MiB are free/);
    const scratch = join(bench.node.paths.root, 'etc/kubernetes/tmp');
    for (const day of [1, 2, 3])
      mkdirSync(join(scratch, `kubeadm-backup-etcd-2026-01-0${day}-00-00-00`), { recursive: true });
    // The lab's apt counts any full disk as its own.
    const { stdout, lastError } = await prepare();
    expect(stdout).toContain('==> warning: only 300 MiB are free');
    expect(lastError).toContain('error: apt-get cannot download');
    expect(readdirSync(scratch)).toHaveLength(3);
  });
});
