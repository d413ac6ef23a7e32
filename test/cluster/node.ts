import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, createReadStream, existsSync, openSync, readFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { HostNetwork } from '../hosts/network.ts';
import { overlay, run } from '../hosts/shell.ts';
import { generateKeyPair } from '../lab/nodes/ssh.ts';
import { until } from '../lab/waits.ts';
import { write } from './files.ts';

/** Options of {@link Node.start}. */
export interface NodeOptions {
  readonly name: string;
  /** Number of the node in its network, from 0; determines its addresses. */
  readonly number: number;
  readonly network: HostNetwork;
  /** Directories that its file system is a writable layer over, the topmost first. */
  readonly lower: readonly string[];
  /** For the node's files; must be empty or missing. */
  readonly directory: string;
  /** Lines for `/etc/hosts`. */
  readonly hosts: string;
  readonly isControlPlane: boolean;
}

/** The pods' addresses on a node, by its number: `10.244.1.0/24`. */
export const podRange = (number: number): string => `10.244.${number + 1}.0/24`;

/** A machine except for the kernel: systemd, sshd, containerd, kubelet, with its own network and cgroups. */
export class Node {
  readonly name: string;
  readonly address: string;
  /** Its public host key, in OpenSSH's format. */
  readonly hostKey: string;
  readonly isControlPlane: boolean;
  /** Name of its network namespace. */
  readonly namespace: string;
  readonly #options: NodeOptions;
  readonly #root: string;
  readonly #console: number;
  #boot: ChildProcess | undefined;

  private constructor(options: NodeOptions, root: string, namespace: string, hostKey: string) {
    this.name = options.name;
    this.address = options.network.addressOf(options.number);
    this.hostKey = hostKey;
    this.isControlPlane = options.isControlPlane;
    this.#options = options;
    this.#root = root;
    this.namespace = namespace;
    this.#console = openSync(join(options.directory, 'console'), 'a');
  }

  /** Creates and boots a node. Resolves when systemd has started everything. */
  static async start(options: NodeOptions): Promise<Node> {
    const { name, number, network, directory } = options;
    const root = await overlay(directory, options.lower);
    const namespace = await network.attach(number);
    const gateway = ['route', 'add', 'default', 'via', network.gateway];
    await run('ip', ['-n', namespace, ...gateway]);
    await run('ip', ['netns', 'exec', namespace, 'sysctl', '-qw', 'net.ipv4.ip_forward=1']);
    const { privateKey, publicKey } = generateKeyPair();
    await write(root, '/etc/ssh/ssh_host_ed25519_key', privateKey, 0o600);
    await write(root, '/etc/hostname', `${name}\n`);
    await write(root, '/etc/hosts', options.hosts);
    await write(root, '/etc/cni/net.d/10-ptp.conflist', JSON.stringify(containerNetwork(number)));
    const node = new Node(options, root, namespace, publicKey);
    await node.powerOn();
    return node;
  }

  /** Routes the pods of another node to it. */
  async routeTo(other: Node): Promise<void> {
    const { number } = other.#options;
    await run('ip', ['-n', this.namespace, 'route', 'replace', podRange(number), 'via', other.address]);
  }

  /** Runs a program on the node as root, without SSH. Resolves with its output. @throws Error if it fails */
  exec(program: string, ...args: string[]): Promise<string> {
    return run('nsenter', [...this.#entrance(), program, ...args], { env: environment });
  }

  /** Like {@link exec}, in the background. */
  spawn(program: string, ...args: string[]): ChildProcess {
    return spawn('nsenter', [...this.#entrance(), program, ...args], { env: environment });
  }

  /** The output of a program; an empty text when it fails. */
  async ask(program: string, ...args: string[]): Promise<string> {
    return this.exec(program, ...args).catch(() => '');
  }

  /** Reads a file of the running node. */
  read(path: string): string {
    return readFileSync(join(`/proc/${this.#first()}/root`, path), 'utf8');
  }

  /** Writes a file of the running node. */
  async write(path: string, text: string, mode = 0o644): Promise<void> {
    await write(`/proc/${this.#first()}/root`, path, text, mode);
  }

  /** Loads an archive of `docker save` into containerd. */
  async load(archive: string): Promise<void> {
    const child = spawn('nsenter', [...this.#entrance(), 'ctr', '-n', 'k8s.io', 'images', 'import', '-'], {
      env: environment,
      stdio: ['pipe', 'ignore', 'pipe'],
    });
    let output = '';
    child.stderr.on('data', (chunk: Buffer) => (output += chunk));
    // If ctr ends early, its exit code and output say why.
    child.stdin.on('error', () => undefined);
    createReadStream(archive).pipe(child.stdin);
    const [exitCode] = await once(child, 'close');
    if (exitCode !== 0) throw new Error(`${archive} could not be loaded on ${this.name}:\n${output}`);
  }

  /** Cuts the power: kills all its processes at once; what is in memory is lost. May be called twice. */
  async powerOff(): Promise<void> {
    if (this.#boot === undefined) return;
    const closed = once(this.#boot, 'close');
    process.kill(Number(this.#first()), 'SIGKILL');
    await closed;
    this.#boot = undefined;
  }

  /** Cuts the power for good: its file system can be removed then. */
  async remove(): Promise<void> {
    await this.powerOff();
    closeSync(this.#console);
    await run('umount', [this.#root]);
  }

  /** Boots the node. Resolves when systemd has started everything. */
  async powerOn(): Promise<void> {
    const disks = join(this.#options.directory, 'disks');
    await mkdir(disks, { recursive: true });
    this.#boot = spawn(
      join(import.meta.dirname, 'node-boot.sh'),
      [this.#root, this.name, this.namespace, disks],
      {
        env: { ...environment, CLUSTER_NAME: process.env.CLUSTER_NAME },
        stdio: ['ignore', this.#console, this.#console],
      },
    );
    const isBooted = async () => {
      if (this.#boot?.exitCode !== null)
        throw new Error(`${this.name} did not boot:\n${this.#consoleText()}`);
      return ['running', 'degraded'].includes((await this.#systemState()).trim());
    };
    await until(`${this.name} has booted`, isBooted);
  }

  async #systemState(): Promise<string> {
    try {
      return await this.exec('systemctl', 'show', '--property=SystemState', '--value');
    } catch {
      // Not yet: no first process, or no systemd.
      await sleep(50);
      return '';
    }
  }

  /** What the node printed before systemd's journal: of its first process until it was systemd, and after. */
  #consoleText(): string {
    const boot = join(this.#options.directory, 'disks/log/boot.log');
    return [join(this.#options.directory, 'console'), boot]
      .filter((path) => existsSync(path))
      .map((path) => readFileSync(path, 'utf8'))
      .join('');
  }

  #entrance(): string[] {
    const all = ['--mount', '--uts', '--ipc', '--net', '--pid', '--cgroup', '--root', '--wd'];
    return ['--target', this.#first(), ...all, '--'];
  }

  /** Process ID of the node's first process outside of its namespace: the only child of unshare. */
  #first(): string {
    const pid = this.#boot?.pid;
    if (pid === undefined) throw new Error(`${this.name} is off`);
    const child = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim();
    if (child === '') throw new Error(`${this.name} has no first process yet`);
    return child;
  }
}

/** Pods get addresses on a node's own range; the nodes have static routes to each other's. */
const containerNetwork = (number: number) => ({
  cniVersion: '0.3.1',
  name: 'ptp',
  plugins: [
    {
      type: 'ptp',
      ipMasq: false,
      mtu: 1500,
      ipam: {
        type: 'host-local',
        // Volatile, as the addresses are free again after a reboot.
        dataDir: '/run/cni-ipam',
        ranges: [[{ subnet: podRange(number) }]],
        routes: [{ dst: '0.0.0.0/0' }],
      },
    },
    { type: 'portmap', capabilities: { portMappings: true } },
  ],
});

const environment = {
  PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  LC_ALL: 'C.UTF-8',
  HOME: '/root',
};
