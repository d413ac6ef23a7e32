import { chmod, copyFile, mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { kubeletConfiguration, stubs } from '../lab/nodes/filesystem.ts';
import { LabNode } from '../lab/nodes/node.ts';
import { hostPaths, wrapper } from './deb.ts';
import type { DebRepository } from './repository.ts';
import { machine, overlay, run } from './shell.ts';
import type { SigningKey } from './signing-key.ts';

/** Options of {@link install}. */
export interface InstallationOptions {
  /** For the layer; must be empty or missing. */
  readonly directory: string;
  readonly repository: DebRepository;
  /** The key that signs the repository. */
  readonly key: SigningKey;
  /** Kubernetes release, X.Y.Z. */
  readonly release: string;
  /** Version of containerd, X.Y.Z. */
  readonly containerd: string;
}

const sshd = `HostKey /etc/ssh/ssh_host_ed25519_key
AuthenticationMethods publickey
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin no
UseDNS no
`;

/** Lab programs that replace the host's init system and are in no package. */
const initPrograms = ['systemctl', 'journalctl', 'reboot', 'shutdown'];

/**
 * Creates the file system that all hosts of a cluster share: Debian with sshd, the user `wizard` and sudo,
 * the package sources, and the packages of Kubernetes (held) and containerd, installed by dpkg. Resolves with
 * the directories to put overlays on, separated by colons.
 */
export async function install(options: InstallationOptions): Promise<string> {
  const base = join(machine.trees, 'base');
  const root = await overlay(options.directory, [base]);
  await writeSystem(root);
  await writeSources(root, options);
  await writePrograms(root);
  await installPackages(root, options);
  await run('umount', [root]);
  return `${join(options.directory, 'upper')}:${base}`;
}

async function writeSystem(root: string): Promise<void> {
  await run('chroot', [root, 'useradd', '--create-home', '--shell', '/bin/bash', LabNode.user]);
  await write(root, `/etc/sudoers.d/${LabNode.user}`, `${LabNode.user} ALL=(ALL) NOPASSWD: ALL\n`, 0o440);
  await write(root, '/etc/ssh/sshd_config.d/hosts.conf', sshd);
  await write(root, '/etc/kubernetes/kubelet.conf', 'apiVersion: v1\nkind: Config\n', 0o600);
  const endpoint = '--container-runtime-endpoint=unix:///run/containerd/containerd.sock';
  await write(root, '/var/lib/kubelet/kubeadm-flags.env', `KUBELET_KUBEADM_ARGS="${endpoint}"\n`);
  for (const path of ['/etc/kubernetes/manifests', '/var/lib/kubelet', '/mnt/main'])
    await mkdir(join(root, path), { recursive: true });
}

async function writeSources(root: string, { repository, key, release }: InstallationOptions): Promise<void> {
  const minor = release.split('.', 2).join('.');
  const keyring = '/etc/apt/keyrings/kubernetes-apt-keyring.gpg';
  await write(
    root,
    '/etc/apt/sources.list.d/kubernetes.list',
    `deb [signed-by=${keyring}] ${repository.base}v${minor}/deb/ /\n`,
  );
  await write(
    root,
    '/etc/apt/sources.list.d/docker.list',
    `deb [signed-by=/etc/apt/keyrings/docker.gpg] ${repository.docker} bookworm stable\n`,
  );
  await mkdir(join(root, '/etc/apt/keyrings'), { recursive: true });
  for (const path of [keyring, '/etc/apt/keyrings/docker.gpg']) await copyFile(key.current, join(root, path));
}

async function writePrograms(root: string): Promise<void> {
  for (const name of initPrograms) {
    await write(root, `/usr/local/bin/${name}`, wrapper(name), 0o755);
    await copy(join(stubs, 'bin', name), root, `${hostPaths.programs}/bin/${name}`);
  }
  const addOns = ['coredns', 'kube-proxy'].map((name) => `add-ons/${name}.yaml`);
  const help = ['apply', 'node'].map((command) => `help/kubeadm-upgrade-${command}.txt`);
  for (const name of ['stub.sh', 'manifests.sh', 'dry-run.sh', ...addOns, ...help])
    await copy(join(stubs, name), root, `${hostPaths.programs}/${name}`);
  await write(
    root,
    `${hostPaths.programs}/container/etcdctl`,
    '#!/bin/sh\nexec chroot /var/lib/containerd/etcd /usr/bin/etcdctl "$@"\n',
    0o755,
  );
  await copy(join(import.meta.dirname, 'init.sh'), root, '/usr/local/sbin/init.sh');
  for (const [work, seconds] of Object.entries({ 'apt-unpack': 0, 'apt-configure': 0, kubeadm: 0 }))
    await write(root, `${hostPaths.node}/state/duration/${work}`, String(seconds));
  for (const name of ['faults', 'state/running'])
    await mkdir(join(root, hostPaths.node, name), { recursive: true });
}

async function installPackages(root: string, options: InstallationOptions): Promise<void> {
  const { release, containerd, repository } = options;
  const wanted = [
    `kubeadm_${release}-`,
    `kubelet_${release}-`,
    `kubectl_${release}-`,
    `containerd.io_${containerd}-`,
  ];
  const files = (await repository.files(release.split('.', 2).join('.'))).filter((file) =>
    ['kubernetes-cni_', 'cri-tools_', ...wanted].some((prefix) => file.includes(`/${prefix}`)),
  );
  await run('dpkg', [`--root=${root}`, '--install', ...files], { env: { ...process.env, LC_ALL: 'C' } });
  await run('chroot', [root, 'apt-mark', 'hold', 'kubeadm', 'kubelet', 'kubectl']);
  // The operator's configuration differs from the packaged one.
  await write(root, '/etc/containerd/config.toml', 'version = 3\n');
  await write(root, '/var/lib/kubelet/config.yaml', kubeletConfiguration);
  await write(root, `${hostPaths.node}/state/running/kubelet`, release);
  await write(root, `${hostPaths.node}/state/running/containerd`, containerd);
}

async function write(root: string, path: string, text: string, mode = 0o644): Promise<void> {
  await mkdir(dirname(join(root, path)), { recursive: true });
  await writeFile(join(root, path), text, { mode });
  await chmod(join(root, path), mode);
}

async function copy(from: string, root: string, path: string): Promise<void> {
  await mkdir(dirname(join(root, path)), { recursive: true });
  await copyFile(from, join(root, path));
  await chmod(join(root, path), 0o755);
}
