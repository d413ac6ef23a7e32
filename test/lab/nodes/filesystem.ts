import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';

/** Directory of the stubs. */
export const stubs = import.meta.dirname;

/** The host's programs that a node can run; every other program is a stub or missing. */
const hostPrograms = (
  'awk base64 basename bash cat chmod cksum cmp cp cut date diff dirname du egrep env expr false find flock grep gzip head ' +
  'install kill ln ls mkdir mktemp mv nohup od paste printf ps readlink realpath rm rmdir sed seq setsid sh sha256sum sleep sort ' +
  'stat sync tail tar tee test timeout touch tr true truncate uniq wc xargs zcat'
).split(' ');

/** The state of a new node. */
export interface FilesystemOptions {
  /** Where the node is created; it may exist and be empty. */
  readonly directory: string;
  /** Name of the node. */
  readonly name: string;
  /** A `master` has static pods and etcd. */
  readonly role: 'master' | 'worker';
  /** Address of type InternalIP. */
  readonly address: string;
  /** Installed release of Kubernetes, such as `1.34.2`. */
  readonly release: string;
  /** Installed version of containerd. */
  readonly containerd: string;
  /** The key in authorized_keys. */
  readonly authorizedKey: string;
  /** Base URL of the package repository, ending in `/`. */
  readonly packages: string;
  /** Directory of kubeadm's data in the cluster, shared by the nodes of one cluster. */
  readonly clusterDirectory: string;
}

/** Paths of a node on the host. */
export interface NodePaths {
  /** The node's only directory of programs. */
  readonly bin: string;
  /** The node's `/`. */
  readonly root: string;
  /** State of the stubs, such as installed packages. */
  readonly state: string;
  /** The faults that are set, one file each. */
  readonly faults: string;
  /** The named pipe of {@link NodeEvents}. */
  readonly events: string;
}

/** Paths of the node in `directory`. */
export function nodePaths(directory: string): NodePaths {
  const at = (name: string) => join(directory, name);
  return { bin: at('bin'), root: at('root'), state: at('state'), faults: at('faults'), events: at('events') };
}

/** A freshly installed kubeadm node in `directory`, which may exist and be empty. */
export function createFilesystem(options: FilesystemOptions): NodePaths {
  const paths = nodePaths(options.directory);
  linkPrograms(paths.bin);
  createDirectories(paths);
  writeSystem(paths, options);
  writePackages(paths, options);
  joinCluster(paths, options);
  return paths;
}

function linkPrograms(bin: string): void {
  mkdirSync(bin, { recursive: true });
  const own = readdirSync(join(stubs, 'bin'));
  for (const name of own) symlinkSync(join(stubs, 'bin', name), join(bin, name));
  for (const name of hostPrograms) {
    const target = onPath(name);
    if (target !== undefined) symlinkSync(target, join(bin, name));
  }
}

function onPath(name: string): string | undefined {
  const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/bin', '/bin', '/usr/sbin', '/sbin'];
  return folders.map((folder) => join(folder, name)).find((path) => existsSync(path));
}

const directories = [
  'etc/apt/apt.conf.d',
  'etc/apt/sources.list.d',
  'etc/apt/keyrings',
  'etc/kubernetes/manifests',
  'etc/kubernetes/pki/etcd',
  'home/wizard/.ssh',
  'mnt/main',
  'etc/default',
  'run',
  'sys/fs/cgroup',
  'tmp',
  'usr',
  'var/backups',
  'var/cache/apt/archives',
  'var/lib/apt/lists',
  'var/lib/dpkg/info',
  'var/lib/dpkg/updates',
  'var/lib/kubelet',
  'var/log/apt',
];

function createDirectories(paths: NodePaths): void {
  for (const name of directories) mkdirSync(join(paths.root, name), { recursive: true });
  for (const name of ['dpkg', 'hold', 'duration', 'running'])
    mkdirSync(join(paths.state, name), { recursive: true });
  mkdirSync(paths.faults, { recursive: true });
}

function writeSystem({ root }: NodePaths, options: FilesystemOptions): void {
  const minor = options.release.split('.').slice(0, 2).join('.');
  const write = (path: string, text: string) => writeFileSync(join(root, path), text);
  write('etc/apt/sources.list', 'deb http://mirror.invalid/debian bookworm main\n');
  write(
    'etc/apt/sources.list.d/kubernetes.list',
    `deb [signed-by=/etc/apt/keyrings/kubernetes-apt-keyring.gpg] ${options.packages}v${minor}/deb/ /\n`,
  );
  write('etc/apt/keyrings/kubernetes-apt-keyring.gpg', 'key of the day the node was installed\n');
  write('etc/kubernetes/kubelet.conf', 'apiVersion: v1\nkind: Config\n');
  write('sys/fs/cgroup/cgroup.controllers', 'cpuset cpu io memory hugetlb pids rdma misc\n');
  write('var/lib/kubelet/config.yaml', kubeletConfiguration);
  write('var/lib/kubelet/kubeadm-flags.env', kubeadmFlags(minor));
  write('home/wizard/.ssh/authorized_keys', `${options.authorizedKey} k8s-upgrade-key\n`);
}

/** The ConfigMap kubelet-config, as short as a kubelet takes it. */
export const kubeletConfiguration = 'apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n';

/** Before 1.35 kubeadm passes the pause image to the kubelet; the kubelet of 1.35 does not know the flag. */
function kubeadmFlags(minor: string): string {
  const pause =
    Number(minor.split('.')[1]) < 35 ? ' --pod-infra-container-image=registry.k8s.io/pause:3.10.1' : '';
  return `KUBELET_KUBEADM_ARGS="--container-runtime-endpoint=unix:///run/containerd/containerd.sock${pause}"\n`;
}

function writePackages({ root, state }: NodePaths, options: FilesystemOptions): void {
  const write = (path: string, text: string) => writeFileSync(join(state, path), text);
  for (const name of ['kubeadm', 'kubelet', 'kubectl']) {
    writeFileSync(join(root, 'var/lib/dpkg/info', `${name}.list`), '/.\n/usr\n');
    write(`dpkg/${name}`, `${options.release}-1.1`);
    write(`hold/${name}`, '');
  }
  write('dpkg/containerd.io', `${options.containerd}-1`);
  write('images', `registry.k8s.io/kube-proxy:v${options.release}\n`);
  write('running/kubelet', options.release);
  // Its time is when the kubelet started: before its static pods, which have run for two days.
  const started = (Date.now() - 3 * 86_400_000) / 1000;
  utimesSync(join(state, 'running/kubelet'), started, started);
  write('running/containerd', options.containerd);
  write('duration/apt-update', '0.1');
  write('duration/apt-install', '0.3');
  // For each component; a control-plane node has four.
  write('duration/kubeadm', '0.15');
  write('etcd-revision', '40221');
  write('etcd-pki', '/etc/kubernetes/pki/etcd');
  write('etcd-data', '/var/lib/etcd');
  const docker = 'https://download.docker.com/linux/debian bookworm/stable amd64 Packages';
  const versions = ['1.7.24', '1.7.27', '1.7.28', '2.1.4', options.containerd];
  write('other-packages', [...new Set(versions)].map((v) => `containerd.io|${v}-1|${docker}\n`).join(''));
}

/**
 * Writes the cluster's data if this is its first node, and on a control-plane node static pods and etcd's
 * data.
 */
function joinCluster({ root, faults }: NodePaths, options: FilesystemOptions): void {
  const { clusterDirectory, release } = options;
  if (!existsSync(join(clusterDirectory, 'kubernetes-version'))) {
    mkdirSync(clusterDirectory, { recursive: true });
    writeFileSync(join(clusterDirectory, 'kubernetes-version'), `${release}\n`);
    writeFileSync(join(clusterDirectory, 'apiserver-flags'), '--secure-port=6443\n');
    writeFileSync(join(clusterDirectory, 'coredns-version'), 'v1.12.0\n');
    writeFileSync(join(clusterDirectory, 'image-repository'), 'registry.k8s.io\n');
    writeFileSync(join(clusterDirectory, 'kubelet-config'), kubeletConfiguration);
  }
  if (options.role === 'worker') return;
  mkdirSync(join(clusterDirectory, 'etcd'), { recursive: true });
  writeFileSync(join(clusterDirectory, 'etcd', options.address), `${faults}\n`);
  mkdirSync(join(root, 'var/lib/etcd/member/snap'), { recursive: true });
  writeFileSync(join(root, 'var/lib/etcd/member/snap/db'), Buffer.alloc(256 * 1024, 'etcd '));
  writeFileSync(join(root, 'etc/kubernetes/admin.conf'), 'apiVersion: v1\nkind: Config\n');
  execFileSync(
    'bash',
    ['-c', 'fs=$2; source "$LAB_STUBS/manifests.sh"; write_manifests "$1"', 'init', release, root],
    {
      env: { ...process.env, LAB_STUBS: stubs, LAB_CLUSTER_DIR: clusterDirectory },
    },
  );
}

/** Empties `/run`, as a power cut does. */
export function wipeVolatile({ root }: NodePaths): void {
  rmSync(join(root, 'run'), { recursive: true, force: true });
  mkdirSync(join(root, 'run'));
}
