import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Machine } from '../lab/machine.ts';
import { type Invocation, NodeEvents } from '../lab/nodes/events.ts';
import { NodeFaults } from '../lab/nodes/faults.ts';
import { kubeletConfiguration } from '../lab/nodes/filesystem.ts';
import { LabNode, type NodeHooks } from '../lab/nodes/node.ts';
import { generateKeyPair } from '../lab/nodes/ssh.ts';
import { until } from '../lab/waits.ts';
import { hostPaths } from './deb.ts';
import { setUpEtcd } from './etcd-pki.ts';
import type { HostNetwork } from './network.ts';
import { machine, overlay, run } from './shell.ts';

const hostKeyFile = '/etc/ssh/ssh_host_ed25519_key';

/** Options of {@link Host.start}. */
export interface HostOptions {
  readonly name: string;
  /** Number of the host in its network, from 0; determines its address. */
  readonly number: number;
  readonly network: HostNetwork;
  readonly role: 'master' | 'worker';
  /** Result of `install`. */
  readonly installation: string;
  /** Kubernetes release, X.Y.Z. */
  readonly release: string;
  /** For the host's files; must be empty or missing. */
  readonly directory: string;
  /** What kubeadm stores in the cluster; shared by all hosts of the cluster. */
  readonly clusterDirectory: string;
  /** Public key that may log in, in OpenSSH's format. */
  readonly authorizedKey: string;
  readonly hooks: NodeHooks;
}

/** Work whose duration can be set: dpkg between two of its states, or kubeadm for a component. */
export type HostWork = 'apt-unpack' | 'apt-configure' | 'kubeadm';

/**
 * A separate machine except for the kernel: OpenSSH, sudo, apt and dpkg, and on the control plane etcd in its
 * container.
 */
export class Host implements Machine {
  readonly name: string;
  readonly address: string;
  readonly port = 22;
  /** Its `/`. */
  readonly root: string;
  readonly faults: NodeFaults;
  readonly #options: HostOptions;
  readonly #namespace: string;
  readonly #events: NodeEvents;
  readonly #console: number;
  #init: ChildProcess | undefined;
  #hostKey = '';

  private constructor(options: HostOptions, root: string, namespace: string) {
    this.#options = options;
    this.name = options.name;
    this.address = options.network.addressOf(options.number);
    this.root = root;
    this.#namespace = namespace;
    this.#console = openSync(join(options.directory, 'console'), 'a');
    this.faults = new NodeFaults(join(root, hostPaths.node, 'faults'));
    const events = join(root, hostPaths.node, 'events');
    this.#events = new NodeEvents(events, (name, values) => this.#react(name, values));
    chmodSync(events, 0o666);
  }

  /** Creates and boots a host. */
  static async start(options: HostOptions): Promise<Host> {
    const lower = options.installation.split(':');
    const root = await overlay(options.directory, lower);
    const namespace = await options.network.attach(options.number);
    const host = new Host(options, root, namespace);
    await host.#setUp();
    await host.powerOn();
    return host;
  }

  /** Its public host key, in OpenSSH's format. */
  get hostKey(): string {
    return this.#hostKey;
  }

  /** Every invocation of a lab program, in order of start. */
  get history(): readonly Invocation[] {
    return this.#events.history;
  }

  /** Number of logins so far. */
  get logins(): number {
    return this.read('/var/log/sshd.log').match(/^Accepted /gm)?.length ?? 0;
  }

  /** Reads a file. `path` is absolute on the host. */
  read(path: string): string {
    return readFileSync(join(this.root, path), 'utf8');
  }

  write(path: string, text: string): void {
    writeFileSync(join(this.root, path), text);
  }

  exists(path: string): boolean {
    return existsSync(join(this.root, path));
  }

  /** Sets how long some work takes from now on. */
  setDuration(work: HostWork, seconds: number): void {
    this.write(`${hostPaths.node}/state/duration/${work}`, String(seconds));
  }

  /** Runs a program on the host as root, without SSH, for preparation and inspection. Returns its output. */
  exec(program: string, ...args: string[]): Promise<string> {
    return run('nsenter', [...this.#entrance(), program, ...args], { env: hostEnvironment });
  }

  /** Like {@link exec}, in the background; the program ends with the host at the latest. */
  spawn(program: string, ...args: string[]): ChildProcess {
    return spawn('nsenter', [...this.#entrance(), program, ...args], {
      env: hostEnvironment,
      stdio: ['pipe', 'pipe', this.#console],
    });
  }

  /** Installs packages (`NAME=VERSION`) with apt-get as an operator would, and restarts containerd. */
  async install(...packages: string[]): Promise<void> {
    await this.exec('apt-get', '-qq', 'update');
    await this.exec(
      'apt-get',
      '-qq',
      'install',
      '--yes',
      '-o',
      'Dpkg::Options::=--force-confold',
      ...packages,
    );
    await this.exec('systemctl', 'restart', 'containerd');
  }

  /** Names of the held packages, from apt-mark. */
  async held(): Promise<string[]> {
    return (await this.exec('apt-mark', 'showhold')).split('\n').filter(Boolean);
  }

  /** `NAME VERSION STATUS` of each package, from dpkg. */
  async packages(...names: string[]): Promise<string[]> {
    const format = '$' + '{Package} $' + '{Version} $' + '{Status}\n';
    return (await this.exec('dpkg-query', '-W', `-f=${format}`, ...names)).trim().split('\n');
  }

  /**
   * Changes the host key, as after a reinstallation. sshd uses it immediately.
   *
   * @returns a function that restores the old key.
   */
  async changeHostKey(): Promise<() => Promise<void>> {
    const old = { key: this.read(hostKeyFile), shown: this.#hostKey };
    await this.#writeHostKey();
    await this.#reloadSshd();
    return async () => {
      this.write(hostKeyFile, old.key);
      this.#hostKey = old.shown;
      await this.#reloadSshd();
    };
  }

  async #reloadSshd(): Promise<void> {
    const lines = () => this.read('/var/log/sshd.log').match(/^Server listening/gm)?.length ?? 0;
    const before = lines();
    await this.exec('pkill', '-HUP', '-o', '-x', 'sshd');
    await until(`sshd on ${this.name} reloads its keys`, () => lines() > before);
  }

  /** Takes the host's network link down or up. */
  async setLink(state: 'up' | 'down'): Promise<void> {
    await this.#options.network.setLink(this.#options.number, state);
  }

  /** Turns the host off: kills all its processes at once and drops what is in memory. May be called twice. */
  async powerOff(): Promise<void> {
    if (this.#init === undefined) return;
    const closed = once(this.#init, 'close');
    // unshare ends when the last process of the namespace is gone.
    process.kill(Number(this.#first()), 'SIGKILL');
    await closed;
    this.#init = undefined;
    this.#events.forgetRunning();
    this.#options.hooks.onReboot?.('down');
  }

  /** Boots the host. Resolves when sshd answers. */
  async powerOn(): Promise<void> {
    const script = join(import.meta.dirname, 'init.sh');
    const namespaces = ['--mount', '--pid', '--uts', '--ipc', '--fork', '--kill-child'];
    this.#init = spawn(
      'ip',
      ['netns', 'exec', this.#namespace, 'unshare', ...namespaces, script, this.root, this.name],
      { env: hostEnvironment, stdio: ['ignore', this.#console, this.#console] },
    );
    await this.#answering();
  }

  /** Turns the host off and on. `meanwhile` runs while it is off. @default half a second */
  async reboot(meanwhile: () => Promise<unknown> = () => sleep(500)): Promise<void> {
    await this.powerOff();
    await meanwhile();
    await this.powerOn();
    const [release, containerd] = ['kubelet', 'containerd.io'].map((name) => this.#installed(name));
    this.write(`${hostPaths.node}/state/running/kubelet`, `${release}\n`);
    this.write(`${hostPaths.node}/state/running/containerd`, `${containerd}\n`);
    this.#options.hooks.onReboot?.('up');
    this.#options.hooks.onKubeletRestart?.(release ?? '', containerd ?? '');
  }

  async stop(): Promise<void> {
    await this.powerOff();
    this.#events.close();
  }

  /** Resolves once a lab program with these first arguments has started, including in the past. */
  started(program: string, ...firstArgs: string[]): Promise<Invocation> {
    const matches = (i: Invocation) =>
      i.program === program && firstArgs.every((arg, n) => i.args[n] === arg);
    return new Promise((resolve) => {
      const found = this.history.find(matches);
      if (found !== undefined) return resolve(found);
      const listener = (invocation: Invocation) => {
        if (!matches(invocation)) return;
        this.#events.off('started', listener);
        resolve(invocation);
      };
      this.#events.on('started', listener);
    });
  }

  /** Resolves when dpkg runs a maintainer script such as `kubelet preinst`; see {@link setDuration}. */
  async dpkgRuns(script: string): Promise<void> {
    const file = `${hostPaths.node}/state/at-work`;
    const isRunning = () => this.exists(file) && this.read(file).trim() === script;
    await until(`dpkg on ${this.name} runs ${script}`, isRunning);
  }

  async #setUp(): Promise<void> {
    const { role, release, authorizedKey, clusterDirectory } = this.#options;
    this.write('/etc/hostname', `${this.name}\n`);
    this.write('/etc/hosts', `127.0.0.1 localhost ${this.name}\n`);
    await this.#writeHostKey();
    const ssh = join(this.root, 'home', LabNode.user, '.ssh');
    await mkdir(ssh, { mode: 0o700 });
    await writeFile(join(ssh, 'authorized_keys'), `${authorizedKey} k8s-upgrade-key\n`, { mode: 0o600 });
    await run('chroot', [this.root, 'chown', '-R', `${LabNode.user}:`, `/home/${LabNode.user}/.ssh`]);
    await mkdir(clusterDirectory, { recursive: true });
    const cluster = join(this.root, hostPaths.cluster);
    await mkdir(cluster);
    await run('mount', ['--bind', clusterDirectory, cluster]);
    if (role === 'worker') return;
    await this.#setUpControlPlane(release, clusterDirectory);
  }

  /** Writes what kubeadm init leaves behind. */
  async #setUpControlPlane(release: string, clusterDirectory: string): Promise<void> {
    await writeFile(join(clusterDirectory, 'kubernetes-version'), `${release}\n`);
    await writeFile(join(clusterDirectory, 'apiserver-flags'), '--secure-port=6443\n');
    await writeFile(join(clusterDirectory, 'coredns-version'), 'v1.12.0\n');
    await writeFile(join(clusterDirectory, 'image-repository'), 'registry.k8s.io\n');
    await writeFile(join(clusterDirectory, 'kubelet-config'), kubeletConfiguration);
    await writeFile(join(this.root, 'etc/kubernetes/admin.conf'), 'apiVersion: v1\nkind: Config\n', {
      mode: 0o600,
    });
    const script = `fs= LAB_CLUSTER_DIR=${hostPaths.cluster}; source ${hostPaths.programs}/manifests.sh; write_manifests ${release}`;
    await run('chroot', [this.root, 'bash', '-euc', script]);
    await setUpEtcd(this.root, this.name);
    const container = join(this.root, 'var/lib/containerd/etcd');
    await mkdir(container, { recursive: true });
    const image = await overlay(`${this.#options.directory}/etcd`, [
      join(machine.trees, 'etcd'),
      join(machine.trees, 'base'),
    ]);
    await run('mount', ['--bind', image, container]);
  }

  async #writeHostKey(): Promise<void> {
    const { privateKey, publicKey } = generateKeyPair();
    const file = join(this.root, hostKeyFile);
    await writeFile(file, privateKey, { mode: 0o600 });
    await chmod(file, 0o600);
    this.#hostKey = publicKey;
  }

  /** Resolves when sshd sends its greeting. */
  async #answering(): Promise<void> {
    for (const deadline = Date.now() + 30_000; Date.now() < deadline; await sleep(50)) {
      if (await greets(this.address, this.port)) return;
    }
    throw new Error(
      `sshd on ${this.name} does not answer:\n${this.exists('/var/log/sshd.log') ? this.read('/var/log/sshd.log') : ''}`,
    );
  }

  /** Arguments for nsenter: all namespaces of the host, and its `/`. */
  #entrance(): string[] {
    return ['--target', this.#first(), '--mount', '--pid', '--net', '--uts', '--ipc', '--root', '--wd', '--'];
  }

  /** Process ID of the host's first process outside of its namespace: the only child of unshare. */
  #first(): string {
    const pid = this.#init?.pid;
    if (pid === undefined) throw new Error(`${this.name} is off`);
    return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim();
  }

  #installed(name: string): string {
    return this.read(`${hostPaths.node}/state/dpkg/${name}`).replace(/-.*/, '');
  }

  #react(event: string, [first = '', second = '']: readonly string[]): void {
    const { hooks } = this.#options;
    if (event === 'kubelet') hooks.onKubeletRestart?.(first, second);
    else if (event === 'apiserver') hooks.onControlPlaneUpgraded?.(first);
    else if (event === 'addon') hooks.onAddOnUpgraded?.(first, second);
    else if (event === 'containerd') hooks.onContainerd?.(first);
    else if (event === 'reboot') void this.reboot();
  }
}

const hostEnvironment = {
  PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  LC_ALL: 'C.UTF-8',
  HOME: '/root',
};

function greets(address: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: address, port, timeout: 1_000 });
    const end = (answer: boolean) => {
      socket.destroy();
      resolve(answer);
    };
    socket.once('data', (data) => end(data.toString().startsWith('SSH-2.0-OpenSSH')));
    socket.once('error', () => end(false));
    socket.once('timeout', () => end(false));
    socket.once('close', () => end(false));
  });
}
