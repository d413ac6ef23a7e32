import { afterEach, expect, it } from 'vitest';
import type { AnyLab } from '../lab/lab.ts';
import { cluster, drained } from './observe.ts';
import { startLab } from './start-lab.ts';

/** What kubeadm would change behind somebody's back closes a gate, and what keeps it is kept (F33, F35). */

let lab: AnyLab;
afterEach(() => lab.stop());

const patches = '/etc/kubernetes/patches';
const kubelet = '/var/lib/kubelet/config.yaml';
const scheduler = '/etc/kubernetes/manifests/kube-scheduler.yaml';
const run = () => lab.cli(['run', '--target-version', '1.34.5', '--kind', 'patch']);
const releases = async () => (await cluster(lab)).nodes.map(({ release }) => release);

it('F35: what is on a node alone is refused, and stays once it is in a patch', async () => {
  lab = await startLab({
    settings: (base) => ({ ...base, kubeadm: { ...base.kubeadm, patches } }),
  });
  for (const node of lab.nodes.values()) node.write(`${patches}/README`, 'patches of kubeadm\n');
  const [master, edited] = [lab.node('k8s-master'), lab.node('k8s-node2')];
  edited.write(kubelet, `${edited.read(kubelet)}maxPods: 250\n`);
  master.write(
    scheduler,
    master.read(scheduler).replace('  hostNetwork', '  dnsPolicy: Default\n  hostNetwork'),
  );

  const refused = await run();
  expect(refused.exitCode, refused.stdout).toBe(3);
  expect(refused.stdout).toContain('on k8s-node2 kubeadm would drop kubelet maxPods 250');
  expect(refused.stdout).toContain('on k8s-master kubeadm would drop kube-scheduler dnsPolicy');
  expect(new Set(await releases())).toEqual(new Set(['1.34.2']));
  expect(await drained(lab)).toEqual([]);

  edited.write(`${patches}/kubeletconfiguration+merge.yaml`, 'maxPods: 250\n');
  master.write(`${patches}/kube-scheduler+strategic.yaml`, 'spec: {dnsPolicy: Default}\n');
  const { exitCode, stdout } = await run();
  expect(exitCode, stdout).toBe(0);
  expect(new Set(await releases())).toEqual(new Set(['1.34.5']));
  expect(edited.read(kubelet)).toContain('maxPods: 250');
  expect(master.read(scheduler)).toMatch(/dnsPolicy: Default/);
  expect(master.read(scheduler)).toContain('kube-scheduler:v1.34.5');
});

it('F33: a cluster without kube-proxy is refused, and upgraded once kubeadm is to leave it out', async () => {
  lab = await startLab();
  await lab.api.remove('daemonsets', 'kube-system', 'kube-proxy');
  await lab.api.remove('configmaps', 'kube-system', 'kube-proxy');
  const refused = await run();
  expect(refused.exitCode, refused.stdout).toBe(3);
  expect(refused.stdout).toContain('kubeadm would install it: was it left out on purpose?');
  expect(await drained(lab)).toEqual([]);

  await lab.api.modify('configmaps', 'kube-system', 'kubeadm-config', (configMap) => {
    const { data = {} } = configMap as { data?: Record<string, string> };
    data.ClusterConfiguration += 'proxy: {disabled: true}\n';
  });
  const { exitCode, stdout } = await run();
  expect(exitCode, stdout).toBe(0);
  expect(new Set(await releases())).toEqual(new Set(['1.34.5']));
});
