import { copyFile, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { DebRepository } from '../hosts/repository.ts';
import { overlay, run } from '../hosts/shell.ts';
import type { SigningKey } from '../hosts/signing-key.ts';
import { LabNode } from '../lab/nodes/node.ts';
import { write } from './files.ts';

/** Options of {@link install}. */
export interface InstallationOptions {
  /** The tree of `base.sh`. */
  readonly base: string;
  /** For the layer; must be empty or missing. */
  readonly directory: string;
  readonly repository: DebRepository;
  /** The key that signs the repository. */
  readonly key: SigningKey;
  /** Kubernetes release, X.Y.Z. */
  readonly release: string;
  /** Public key that may log in, in OpenSSH's format. */
  readonly authorizedKey: string;
}

const sshd = `Port 22
HostKey /etc/ssh/ssh_host_ed25519_key
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin no
UsePAM yes
UseDNS no
Subsystem sftp internal-sftp
`;

/** cgroupfs and no limits: the kernel's settings are shared with the machine that the tests run on. */
const containerd = `version = 2
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "registry.k8s.io/pause:3.10.1"
  restrict_oom_score_adj = true
  disable_apparmor = true
  disable_tcp_service = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "/etc/cni/net.d"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
`;

const crictl = `runtime-endpoint: unix:///run/containerd/containerd.sock
image-endpoint: unix:///run/containerd/containerd.sock
timeout: 10
`;

/** Units for hardware and for what the node's first process has done. */
const masked = [
  'systemd-udevd.service',
  'systemd-udevd-control.socket',
  'systemd-udevd-kernel.socket',
  'systemd-udev-trigger.service',
  'systemd-logind.service',
  'systemd-networkd.service',
  'systemd-resolved.service',
  'systemd-timesyncd.service',
  'systemd-modules-load.service',
  'systemd-sysctl.service',
  'systemd-remount-fs.service',
  'systemd-firstboot.service',
  'console-getty.service',
  'getty.target',
  'sys-kernel-debug.mount',
  'sys-kernel-tracing.mount',
  'sys-kernel-config.mount',
  'sys-fs-fuse-connections.mount',
  'dev-hugepages.mount',
  'dev-mqueue.mount',
  'tmp.mount',
  'e2scrub_reap.service',
  'fstrim.timer',
  'apt-daily.timer',
  'apt-daily-upgrade.timer',
  'dpkg-db-backup.timer',
];

/** Services that would lower their OOM score, which needs a capability that a container may not have. */
const adjusted = ['systemd-journald', 'dbus', 'ssh', 'containerd', 'kubelet'];

/**
 * Creates the file system that all nodes of a cluster share: the base with the user `wizard`, sudo,
 * containerd's configuration, the package source, and the packages of Kubernetes (held), installed by apt.
 * Resolves with the directories to put overlays on.
 */
export async function install(options: InstallationOptions): Promise<readonly string[]> {
  const root = await overlay(options.directory, [options.base]);
  await writeSystem(root, options);
  await installPackages(root, options);
  await run('umount', [root]);
  return [join(options.directory, 'upper'), options.base];
}

async function writeSystem(root: string, { authorizedKey, key }: InstallationOptions): Promise<void> {
  await run('chroot', [root, 'useradd', '--create-home', '--shell', '/bin/bash', LabNode.user]);
  await write(root, `/etc/sudoers.d/${LabNode.user}`, `${LabNode.user} ALL=(ALL) NOPASSWD: ALL\n`, 0o440);
  await write(root, `/home/${LabNode.user}/.ssh/authorized_keys`, `${authorizedKey}\n`, 0o600);
  await run('chroot', [root, 'chown', '-R', `${LabNode.user}:`, `/home/${LabNode.user}/.ssh`]);
  await write(root, '/etc/ssh/sshd_config', sshd);
  await write(root, '/etc/containerd/config.toml', containerd);
  await write(root, '/etc/crictl.yaml', crictl);
  // Nothing listens there. A loopback address would end CoreDNS, which forwards to it.
  await write(root, '/etc/resolv.conf', 'nameserver 198.18.255.1\n');
  for (const unit of masked) await run('ln', ['-sf', '/dev/null', join(root, 'etc/systemd/system', unit)]);
  for (const service of adjusted)
    await write(
      root,
      `/etc/systemd/system/${service}.service.d/10-test.conf`,
      '[Service]\nOOMScoreAdjust=\n',
    );
  await mkdir(join(root, 'etc/apt/keyrings'), { recursive: true });
  await copyFile(key.current, join(root, keyring));
}

const keyring = '/etc/apt/keyrings/kubernetes-apt-keyring.gpg';

async function installPackages(root: string, { repository, release }: InstallationOptions): Promise<void> {
  const minor = release.split('.', 2).join('.');
  const source = `deb [signed-by=${keyring}] ${repository.base}v${minor}/deb/ /\n`;
  await write(root, '/etc/apt/sources.list.d/kubernetes.list', source);
  const packages = ['kubeadm', 'kubelet', 'kubectl'];
  const versions = packages.map((name) => `${name}=${release}-1.1`).join(' ');
  const script = `export DEBIAN_FRONTEND=noninteractive LC_ALL=C
apt-get -qq update
apt-get -qq install --yes --no-install-recommends ${versions} cri-tools
apt-mark hold ${packages.join(' ')}`;
  await run('chroot', [root, 'bash', '-euc', script]);
}
