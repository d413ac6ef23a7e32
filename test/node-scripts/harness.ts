import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach } from 'vitest';
import { assembledScripts } from '../../runtime/node-scripts.mjs';
import { LabNode, type LabNodeOptions } from '../lab/nodes/node.ts';
import { generateKeyPair } from '../lab/nodes/ssh.ts';
import { PackageRepository } from '../lab/services/packages.ts';

/** Text of an assembled node script. */
export const scriptText = (name: string): string => readFileSync(join(assembledScripts, name), 'utf8');

/** How a script ended. */
export interface Ended {
  /** Exit code; -1 when the script was killed by a signal. */
  readonly exit: number;
  readonly stdout: string;
  readonly stderr: string;
  /** The last line of stderr. */
  readonly lastError: string;
  /** The object after `result: `; undefined when there is none. */
  readonly result: unknown;
}

/** A node whose stubs work without delay, and its package repository. */
export class Bench {
  readonly directory: string;
  readonly repository: PackageRepository;
  readonly node: LabNode;
  /** What the node reported to its cluster, in order. */
  readonly hookCalls: string[];

  private constructor(directory: string, repository: PackageRepository, node: LabNode, hookCalls: string[]) {
    this.directory = directory;
    this.repository = repository;
    this.node = node;
    this.hookCalls = hookCalls;
  }

  /** Creates a control-plane node at 1.34.2, unless the options say otherwise. */
  static async open(options: Partial<LabNodeOptions> = {}): Promise<Bench> {
    const directory = mkdtempSync(join(tmpdir(), 'k8s-node-'));
    const repository = await new PackageRepository().start();
    for (const release of ['1.33.9', '1.34.2', '1.34.5', '1.35.0', '1.35.1']) repository.publish(release);
    const hookCalls: string[] = [];
    const node = await LabNode.start({
      dir: join(directory, 'node'),
      name: 'k8s-master',
      role: 'master',
      address: '127.0.0.1',
      port: 0,
      release: '1.34.2',
      containerd: '1.7.27',
      authorizedKey: generateKeyPair().publicKey,
      packages: repository.base,
      hooks: {
        onKubeletRestart: (release, containerd) => hookCalls.push(`kubelet ${release} ${containerd}`),
        onControlPlaneUpgraded: (release) => hookCalls.push(`apiserver ${release}`),
        onContainerd: (version) => hookCalls.push(`containerd ${version}`),
        onReboot: (phase) => hookCalls.push(`reboot ${phase}`),
      },
      ...options,
    });
    for (const work of ['apt-update', 'apt-install', 'kubeadm'] as const) node.setDuration(work, 0);
    return new Bench(directory, repository, node, hookCalls);
  }

  async close(): Promise<void> {
    await this.node.stop();
    await this.repository.stop();
    rmSync(this.directory, { recursive: true, force: true });
  }

  /** Runs a node script as `ssh NODE 'bash -s -- ARGS' < SCRIPT` would. */
  run(script: string, ...args: string[]): Promise<Ended> {
    return this.begin(script, ...args).ended;
  }

  /** Like {@link run}, but does not wait; `kill` signals the script and its children. */
  begin(script: string, ...args: string[]): { ended: Promise<Ended>; kill(signal: NodeJS.Signals): void } {
    return this.bash(['-s', '--', ...args], scriptText(script));
  }

  /** Runs bash in the node's environment. */
  bash(args: string[], input: string, environment: Record<string, string> = {}) {
    const child = spawn('bash', args, {
      env: { ...this.node.environment, ...environment },
      cwd: this.node.environment.HOME,
      detached: true,
    });
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (text) => {
      stdout += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text) => {
      stderr += text;
    });
    // A script that refuses its arguments does not read the rest of the input, which is an EPIPE here.
    child.stdin.on('error', () => undefined);
    child.stdin.end(input);
    const ended = once(child, 'close').then(
      ([code]): Ended => ({
        exit: code ?? -1,
        stdout,
        stderr,
        lastError: stderr.trim().split('\n').at(-1) ?? '',
        result: resultOf(stdout),
      }),
    );
    return {
      pid: child.pid ?? 0,
      ended,
      kill: (signal: NodeJS.Signals) => process.kill(-(child.pid ?? 0), signal),
    };
  }

  /** The node's invocations that change something, as command lines, and kubeadm upgrade plan. */
  changes(): string[] {
    return this.node.history
      .map(({ program, args }) => [program, ...args].join(' '))
      .filter((line) =>
        /^(apt-get|apt-mark (un)?hold|kubeadm upgrade (plan|apply|node)|systemctl (daemon|restart))/.test(
          line,
        ),
      );
  }

  /** A file of the stubs' state as text; undefined when it does not exist. */
  stateOf(path: string): string | undefined {
    try {
      return readFileSync(join(this.node.paths.state, path), 'utf8');
    } catch {
      return undefined;
    }
  }

  /** Installed versions of the Kubernetes packages. */
  packages(): Record<string, string | undefined> {
    return Object.fromEntries(['kubeadm', 'kubelet', 'kubectl'].map((p) => [p, this.stateOf(`dpkg/${p}`)]));
  }

  /** Whether all Kubernetes packages are held. */
  held(): boolean {
    return ['kubeadm', 'kubelet', 'kubectl'].every((p) => this.stateOf(`hold/${p}`) !== undefined);
  }
}

function resultOf(stdout: string): unknown {
  const line = stdout.split('\n').find((each) => each.startsWith('result: '));
  return line === undefined ? undefined : JSON.parse(line.slice('result: '.length));
}

/** Creates a new node for each test of the block. */
export function benchPerTest(use: (bench: Bench) => void): void {
  let bench: Bench;
  beforeEach(async () => {
    bench = await Bench.open();
    use(bench);
  });
  afterEach(() => bench.close());
}

/** Creates one node for all tests of the block; they must not change it. */
export function benchPerBlock(use: (bench: Bench) => void): void {
  let bench: Bench;
  beforeAll(async () => {
    bench = await Bench.open();
    use(bench);
  });
  afterAll(() => bench.close());
}
