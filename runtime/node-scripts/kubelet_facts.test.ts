import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { scriptText } from '../../test/node-scripts/harness.ts';
import { parseFacts } from '../src/gates/compatibility/node-facts.ts';

/** The output of kubelet_facts.sh on a node with these files. */
function factsOf(files: Readonly<Record<string, string>>, mergedUsr = true): string {
  const root = mkdtempSync(join(tmpdir(), 'k8s-facts-'));
  onTestFinished(() => rmSync(root, { recursive: true, force: true }));
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  }
  if (mergedUsr) symlinkSync('usr/lib', join(root, 'lib'));
  const env = { ...process.env, K8S_UPGRADE_ROOT: root };
  return execFileSync('bash', ['-s'], { env, input: scriptText('kubelet_facts.sh'), encoding: 'utf8' });
}

const config = { '/var/lib/kubelet/config.yaml': 'featureGates: {A: true}\nfailCgroupV1: false\n' };
const v2 = { '/sys/fs/cgroup/cgroup.controllers': 'cpu\n' };

it('reports every flag and feature gate of the kubelet with its file', () => {
  const output = factsOf({
    ...config,
    ...v2,
    '/var/lib/kubelet/kubeadm-flags.env': 'KUBELET_KUBEADM_ARGS="--node-ip=10.0.0.1"\n',
    '/etc/default/kubelet': 'KUBELET_EXTRA_ARGS=--v=2\n',
    '/etc/sysconfig/kubelet': '',
    '/usr/lib/systemd/system/kubelet.service': '[Service]\nExecStart=/usr/bin/kubelet --cert-dir=/x\n',
    '/usr/lib/systemd/system/kubelet.service.d/10-kubeadm.conf':
      '[Service]\nEnvironment="A=--config=/var/lib/kubelet/config.yaml"\n# --commented=out\n',
    '/etc/systemd/system/kubelet.service.d/20 own.txt': '--not-read',
    '/etc/systemd/system/kubelet.service.d/30-own.conf': 'Environment="B=--feature-gates=C=false,D=true"\n',
  });
  const { cgroup, failCgroupV1, flags, featureGates } = parseFacts('n1', 0, output);
  expect([cgroup, failCgroupV1]).toEqual(['v2', false]);
  expect(flags.map(({ name, file }) => `${name} ${file}`)).toEqual([
    '--node-ip /var/lib/kubelet/kubeadm-flags.env',
    '--v /etc/default/kubelet',
    '--cert-dir /usr/lib/systemd/system/kubelet.service',
    '--feature-gates /etc/systemd/system/kubelet.service.d/30-own.conf',
    '--config /usr/lib/systemd/system/kubelet.service.d/10-kubeadm.conf',
  ]);
  expect(featureGates.map(({ name }) => name)).toEqual(['A', 'C', 'D']);
});

it('reads /lib when it is a separate directory', () => {
  const unit = { '/lib/systemd/system/kubelet.service': 'ExecStart=/usr/bin/kubelet --v=4\n' };
  const { flags } = parseFacts('n1', 0, factsOf({ ...config, ...v2, ...unit }, false));
  expect(flags.map(({ file }) => file)).toEqual(['/lib/systemd/system/kubelet.service']);
});

it('reports cgroup v1 when the unified hierarchy is missing, and nothing without any hierarchy', () => {
  const v1 = factsOf({ ...config, '/sys/fs/cgroup/memory/tasks': '' });
  expect(parseFacts('n1', 0, v1).cgroup).toBe('v1');
  expect(() => parseFacts('n1', 0, factsOf(config))).toThrow('n1 has no /sys/fs/cgroup');
});
