import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { Bench, benchPerTest, type Ended } from '../../test/node-scripts/harness.ts';
import { describeDifferences, differences } from '../src/gates/kubeadm/differences.ts';
import { parsePreview } from '../src/gates/kubeadm/preview.ts';

const manifests = '/etc/kubernetes/manifests';
const kubelet = '/var/lib/kubelet/config.yaml';
const patches = '/etc/kubernetes/patches';

let bench: Bench;
benchPerTest((opened) => {
  bench = opened;
});

const write = (path: string, text: string) => bench.node.write(path, text);
const append = (path: string, text: string) => write(path, bench.node.read(path) + text);

/** What the script makes of a node: by file, what kubeadm would change. */
function changesIn({ exit, stdout }: Ended): Record<string, string> {
  const { files } = parsePreview('k8s-master', exit, stdout);
  const entries = [...files].map(([path, { present, written }]): [string, string] => [
    path,
    describeDifferences(differences('it', present, written)),
  ]);
  return Object.fromEntries(entries);
}

const unchanged = {
  [`${manifests}/kube-apiserver.yaml`]: '',
  [`${manifests}/kube-controller-manager.yaml`]: '',
  [`${manifests}/kube-scheduler.yaml`]: '',
  [`${manifests}/etcd.yaml`]: '',
  [kubelet]: '',
};

describe('preview_kubeadm.sh', () => {
  it('shows every file that kubeadm writes on a control-plane node, and the add-ons', async () => {
    const ended = await bench.run('preview_kubeadm.sh');
    expect(ended.exit, ended.stderr).toBe(0);
    expect(changesIn(ended)).toEqual(unchanged);
    const { addOns = [] } = parsePreview('k8s-master', 0, ended.stdout);
    expect(addOns.map(({ kind, metadata }) => `${kind} ${(metadata as { name: string }).name}`)).toEqual([
      'Deployment coredns',
      'ConfigMap coredns',
      'ConfigMap kube-proxy',
      'DaemonSet kube-proxy',
    ]);
  });

  it('F35: shows what kubeadm would revert in a manifest, of etcd too, and in the configuration of the kubelet', async () => {
    append(kubelet, 'maxPods: 250\n');
    const etcd = bench.node.read(`${manifests}/etcd.yaml`);
    write(
      `${manifests}/etcd.yaml`,
      etcd.replace('    - etcd\n', '    - etcd\n    - --quota-backend-bytes=8\n'),
    );
    expect(changesIn(await bench.run('preview_kubeadm.sh'))).toEqual({
      ...unchanged,
      [`${manifests}/etcd.yaml`]: 'drop it containers.etcd.--quota-backend-bytes',
      [kubelet]: 'drop it maxPods 250',
    });
  });

  it('F35: reckons with the patches of the node', async () => {
    append(kubelet, 'maxPods: 250\n');
    write(`${patches}/kubeletconfiguration+merge.yaml`, 'maxPods: 250\n');
    write(
      `${patches}/etcd0+strategic.yaml`,
      'spec: {containers: [{name: etcd, env: [{name: A, value: b}]}]}\n',
    );
    expect(changesIn(await bench.run('preview_kubeadm.sh', '--patches', patches))).toEqual({
      ...unchanged,
      [`${manifests}/etcd.yaml`]: 'add it containers.etcd.env',
    });
  });

  it('leaves nothing behind, and what kubeadm has left stays', async () => {
    const scratch = '/etc/kubernetes/tmp';
    write(`${scratch}/kubeadm-kubelet-config1/config.yaml`, 'an earlier copy\n');
    mkdirSync(join(bench.node.paths.root, scratch, 'kubeadm-kubelet-config2'));
    await bench.run('preview_kubeadm.sh');
    expect(readdirSync(join(bench.node.paths.root, scratch)).sort()).toEqual([
      'kubeadm-kubelet-config1',
      'kubeadm-kubelet-config2',
    ]);
    const { exit } = await bench.run('preview_kubeadm.sh', '--patches', '/etc/none');
    expect(exit).toBe(1);
    expect(bench.changes()).toEqual([]);
  });

  it('leaves out an etcd outside of the cluster, and the add-ons before kubeadm 1.32', async () => {
    const { root, state } = bench.node.paths;
    rmSync(join(root, manifests, 'etcd.yaml'));
    writeFileSync(join(state, 'dpkg/kubeadm'), '1.31.9-1.1');
    const { exit, stdout } = await bench.run('preview_kubeadm.sh');
    const { files, addOns } = parsePreview('k8s-master', exit, stdout);
    expect([...files.keys()]).not.toContain(`${manifests}/etcd.yaml`);
    expect(addOns).toBe(undefined);
  });

  it('says why kubeadm does not show the manifest of etcd, and shows the rest', async () => {
    write('/etc/kubernetes/pki/ca.crt', 'of an authority whose key is elsewhere\n');
    rmSync(join(bench.node.paths.root, '/etc/kubernetes/pki/ca.key'), { force: true });
    const { exit, stdout } = await bench.run('preview_kubeadm.sh');
    const { files, unknownEtcd, addOns } = parsePreview('k8s-master', exit, stdout);
    expect(unknownEtcd).toMatch(
      /^kubeadm init phase etcd local .*: the super-admin\.conf file does not exist/,
    );
    expect([...files.keys()]).toEqual(Object.keys(unchanged).filter((path) => !path.endsWith('etcd.yaml')));
    expect(addOns).toHaveLength(4);
  });

  it('names the proxy variables that kubeadm passes to kube-proxy, without their values', async () => {
    const { environment } = bench.node;
    Object.assign(environment, {
      HTTPS_PROXY: 'http://user:password@proxy',
      no_proxy: '10.0.0.0/8',
      OTHER: 'x',
    });
    const { stdout, exit } = await bench.run('preview_kubeadm.sh');
    expect(parsePreview('k8s-master', exit, stdout).proxies.toSorted()).toEqual(['HTTPS_PROXY', 'no_proxy']);
    expect(stdout).not.toContain('password');
  });

  it.each([
    [['--patches', '/etc/none'], 1, 'error: kubeadm.patches: /etc/none is not a directory on this node'],
    [['--patches'], 2, 'error: --patches: expected a value'],
    [['--patches', 'relative'], 2, 'error: --patches: "relative" is not allowed'],
    [['--patches', '/etc/../root'], 2, 'error: --patches: "/etc/../root" is not allowed'],
    [['--other'], 2, 'error: "--other" is not an option'],
  ])('refuses %j', async (args, code, message) => {
    const { exit, lastError, stdout } = await bench.run('preview_kubeadm.sh', ...args);
    expect([exit, stdout]).toEqual([code, '']);
    expect(lastError).toContain(message);
  });

  it('shows of a worker the configuration of its kubelet only', async () => {
    const worker = await Bench.open({ role: 'worker', name: 'k8s-node1' });
    onTestFinished(() => worker.close());
    const { exit, stdout } = await worker.run('preview_kubeadm.sh');
    const { files, addOns } = parsePreview('k8s-node1', exit, stdout);
    expect([[...files.keys()], addOns]).toEqual([[kubelet], undefined]);
  });

  it('fails with the reason of kubeadm', async () => {
    write(`${patches}/kubeletconfiguration+json.yaml`, 'not: [a, list');
    const { exit, stdout } = await bench.run('preview_kubeadm.sh', '--patches', patches);
    expect(exit).toBe(1);
    expect(stdout).not.toContain('\nend\n');
  });
});
