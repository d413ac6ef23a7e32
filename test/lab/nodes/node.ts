import { existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { type Invocation, NodeEvents } from './events.ts';
import { NodeFaults } from './faults.ts';
import { createFilesystem, type NodePaths, stubs, wipeVolatile } from './filesystem.ts';
import { killProcessesOf } from './processes.ts';
import { type Execution, generateKeyPair, SshServer } from './ssh.ts';

/** How a node reports changes to the cluster. Called in order, as they happen. */
export interface NodeHooks {
  /** kubelet has started and reports these versions. */
  onKubeletRestart?(release: string, containerd: string): void;
  /** The hashes of the static pods that the kubelet lists since its start, by pod. @default none */
  staticPods?(): Readonly<Record<string, string>>;
  /** kubeadm has replaced this node's API server. */
  onControlPlaneUpgraded?(release: string): void;
  /** kubeadm has replaced an add-on, `coredns` or `kube-proxy`. */
  onAddOnUpgraded?(name: string, image: string): void;
  /** containerd was restarted at this version; the kubelet reports it from now on. */
  onContainerd?(version: string): void;
  /** The node goes down, or it is up again and its kubelet is about to start. */
  onReboot?(phase: 'down' | 'up'): void;
}

/** The state of a new node. */
export interface LabNodeOptions {
  /** Directory of the node; it may be missing or empty. */
  readonly dir: string;
  /** Name of the node. */
  readonly name: string;
  /** A `master` has static pods and etcd. */
  readonly role: 'master' | 'worker';
  /** Address on which its sshd listens. */
  readonly address: string;
  /** Port of its sshd; 0 for any free port. */
  readonly port: number;
  /** Installed release of Kubernetes, such as `1.34.2`. */
  readonly release: string;
  /** Installed version of containerd. */
  readonly containerd: string;
  /** The key that may log in as {@link LabNode.user}. */
  readonly authorizedKey: string;
  /** OpenSSH private key of its sshd. @default - a new one */
  readonly hostKey?: string;
  /** Base URL of the package repository, ending in `/`. */
  readonly packages: string;
  /** Directory of kubeadm's data in the cluster, shared by its nodes. @default - a directory beside `dir` */
  readonly clusterDir?: string;
  /** Receives the changes of the node. @default - none */
  readonly hooks?: NodeHooks;
}

/** The kinds of work whose duration can be set. */
export type WorkName = 'apt-update' | 'apt-install' | 'kubeadm';

/** A finished run of a node script by detach.sh. Times are Unix milliseconds. */
export interface ScriptRun {
  /** Name of the script, such as `update_k8s`. */
  readonly name: string;
  /** When it started. */
  readonly start: number;
  /** When it ended. */
  readonly end: number;
  /** Its exit code. */
  readonly exit: number;
}

/** One node: an sshd with real bash, stub programs, and its own file system. */
export class LabNode {
  /** The only user that may log in. */
  static readonly user = 'wizard';

  /** Name of the node. */
  readonly name: string;
  /** Address on which its sshd listens. */
  readonly address: string;
  /** Its paths on the host. */
  readonly paths: NodePaths;
  /** Sets and clears faults of its programs. */
  readonly faults: NodeFaults;
  /** Its sshd. */
  readonly ssh: SshServer;
  /** Runs of node scripts that a connection has followed to the end. */
  readonly scriptRuns: ScriptRun[] = [];
  /** Environment of every process on the node. */
  readonly environment: Readonly<Record<string, string>>;
  readonly #options: LabNodeOptions;
  readonly #events: NodeEvents;
  #rebooting: Promise<void> | undefined;

  private constructor(options: LabNodeOptions) {
    this.#options = options;
    this.name = options.name;
    this.address = options.address;
    const clusterDirectory = options.clusterDir ?? join(dirname(options.dir), 'cluster');
    this.paths = createFilesystem({ ...options, directory: options.dir, clusterDirectory });
    this.faults = new NodeFaults(this.paths.faults);
    this.#events = new NodeEvents(this.paths.events, (name, values) => this.#react(name, values));
    this.environment = this.#createEnvironment(clusterDirectory);
    this.ssh = new SshServer({
      name: options.name,
      address: options.address,
      port: options.port,
      user: LabNode.user,
      authorizedKey: options.authorizedKey,
      hostKey: options.hostKey ?? generateKeyPair().privateKey,
      environment: this.environment,
      directory: join(this.paths.root, 'home/wizard'),
    });
    this.ssh.on('closed', (execution) => this.#noteScriptRun(execution));
  }

  /** Creates the node and starts its sshd. */
  static async start(options: LabNodeOptions): Promise<LabNode> {
    await mkdir(options.dir, { recursive: true });
    const node = new LabNode(options);
    await node.ssh.listen();
    return node;
  }

  /** Port of its sshd. */
  get port(): number {
    return this.ssh.port;
  }

  /** Its public host key, as in known_hosts: `ssh-ed25519 AAAA…`. */
  get hostKey(): string {
    return this.ssh.hostKey;
  }

  /** Every run of a stub program, in order of their starts. */
  get history(): readonly Invocation[] {
    return this.#events.history;
  }

  /** The installed kubelet's release. */
  get release(): string {
    return readFileSync(join(this.paths.state, 'dpkg/kubelet'), 'utf8').replace(/-.*/, '');
  }

  /** The running containerd's version. */
  get containerd(): string {
    return readFileSync(join(this.paths.state, 'running/containerd'), 'utf8').trim();
  }

  /** Contents of a file on the node; `path` is absolute there. */
  read(path: string): string {
    return readFileSync(join(this.paths.root, path), 'utf8');
  }

  /** Replaces a file on the node and creates its directory; `path` is absolute there. */
  write(path: string, text: string): void {
    const file = join(this.paths.root, path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, text);
  }

  /** Switches the node between cgroup v1 and v2. */
  useCgroup(version: 'v1' | 'v2'): void {
    const controllers = join(this.paths.root, 'sys/fs/cgroup/cgroup.controllers');
    if (version === 'v1') rmSync(controllers, { force: true });
    else writeFileSync(controllers, 'cpuset cpu io memory hugetlb pids rdma misc\n');
  }

  /** Sets how long the stubs take for a kind of work. */
  setDuration(work: WorkName, seconds: number): void {
    writeFileSync(join(this.paths.state, 'duration', work), String(seconds));
  }

  /** Lets the repository's signing key on this node expire, until it is fetched again (F24). */
  expireRepositoryKey(): void {
    this.write('/etc/apt/keyrings/kubernetes-apt-keyring.gpg', 'expired');
  }

  /** Breaks every SSH connection; commands keep running. */
  cutConnections(): void {
    this.ssh.cutConnections();
  }

  /** Gives the node another host key, as when it is reimaged (F27). */
  changeHostKey(): void {
    this.ssh.changeHostKey(generateKeyPair().privateKey);
  }

  /**
   * Turns the node off, and on again after `downMs`. Resolves when it is up; joins a reboot that is in
   * progress.
   */
  reboot(downMs = 500): Promise<void> {
    this.#rebooting ??= this.#powerCycle(downMs).finally(() => {
      this.#rebooting = undefined;
    });
    return this.#rebooting;
  }

  /** Stops the sshd and kills all processes of the node; its directory stays. */
  async stop(): Promise<void> {
    await this.#rebooting;
    this.ssh.refuse();
    this.ssh.cutConnections();
    killProcessesOf(this.#options.dir);
    this.#events.close();
  }

  /**
   * Resolves when a stub program with these first arguments starts, or at once when one has started before.
   */
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

  #createEnvironment(clusterDirectory: string): Record<string, string> {
    return {
      PATH: this.paths.bin,
      HOME: join(this.paths.root, 'home/wizard'),
      USER: LabNode.user,
      LOGNAME: LabNode.user,
      SHELL: '/bin/bash',
      TMPDIR: join(this.paths.root, 'tmp'),
      K8S_UPGRADE_ROOT: this.paths.root,
      LAB_NODE_DIR: this.#options.dir,
      LAB_NODE_NAME: this.name,
      LAB_NODE_BIN: process.execPath,
      LAB_CURL: ['/usr/bin/curl', '/usr/local/bin/curl'].find(existsSync) ?? '',
      LAB_CLUSTER_DIR: clusterDirectory,
      LAB_STUBS: stubs,
    };
  }

  #react(event: string, [first = '', second = '']: readonly string[]): void {
    const { hooks = {} } = this.#options;
    if (event === 'kubelet') {
      hooks.onKubeletRestart?.(first, second);
      this.#listPods(hooks.staticPods?.() ?? {});
    }
    if (event === 'apiserver') hooks.onControlPlaneUpgraded?.(first);
    else if (event === 'addon') hooks.onAddOnUpgraded?.(first, second);
    else if (event === 'containerd') hooks.onContainerd?.(first);
    else if (event === 'reboot') void this.reboot();
  }

  /** Writes what kubectl shows of this kubelet's list of its pods. */
  #listPods(hashes: Readonly<Record<string, string>>): void {
    const items = Object.entries(hashes).map(([name, hash]) => ({
      metadata: {
        name,
        namespace: 'kube-system',
        annotations: { 'kubernetes.io/config.hash': hash, 'kubernetes.io/config.source': 'file' },
      },
    }));
    const list = { kind: 'PodList', apiVersion: 'v1', metadata: {}, items };
    writeFileSync(join(this.paths.state, 'kubelet-pods'), JSON.stringify(list));
  }

  async #powerCycle(downMs: number): Promise<void> {
    this.ssh.refuse();
    killProcessesOf(this.#options.dir);
    this.ssh.cutConnections();
    this.#events.forgetRunning();
    wipeVolatile(this.paths);
    this.#options.hooks?.onReboot?.('down');
    await delay(downMs);
    writeFileSync(join(this.paths.state, 'running/kubelet'), this.release);
    await this.ssh.listen();
    this.#options.hooks?.onReboot?.('up');
    this.#react('kubelet', [this.release, this.containerd]);
  }

  /** Start and end of a run are the modification times of detach.sh's files. */
  #noteScriptRun({ command }: Execution): void {
    const name = /\bfollow ([a-z0-9_]+) /.exec(command)?.[1];
    if (name === undefined) return;
    const state = join(this.paths.root, 'run/k8s-upgrade', name);
    try {
      const start = statSync(join(state, 'script')).mtimeMs;
      const end = statSync(join(state, 'exit')).mtimeMs;
      const exit = Number(readFileSync(join(state, 'exit'), 'utf8'));
      if (!this.scriptRuns.some((run) => run.name === name && run.start === start)) {
        this.scriptRuns.push({ name, start, end, exit });
      }
    } catch {
      // It is still running, or it was killed.
    }
  }
}
