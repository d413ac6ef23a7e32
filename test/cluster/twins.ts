import { join } from 'node:path';
import { SshSession } from '../../runtime/src/ssh/session.ts';
import { machine } from '../hosts/shell.ts';
import { LabNode } from '../lab/nodes/node.ts';
import { generateKeyPair } from '../lab/nodes/ssh.ts';
import { PackageRepository } from '../lab/services/packages.ts';
import { KubeadmCluster } from './cluster.ts';

/** The nodes that both clusters have. */
export type TwinName = 'k8s-master' | 'k8s-node1';

/** How a command ended: its exit code, and standard output and error output in order. */
export interface Answer {
  readonly exit: number | undefined;
  readonly output: string;
}

/** The static pods of a control-plane node, with a hash of each. */
const staticPods = (node: string): Record<string, string> =>
  Object.fromEntries(
    ['etcd', 'kube-apiserver', 'kube-controller-manager', 'kube-scheduler'].map((component) => [
      `${component}-${node}`,
      `hash of ${component}`,
    ]),
  );

/** The package of containerd on the real nodes. */
const containerd = '1.6.20~ds1-1+deb12u3';

/**
 * A control-plane node and a worker of a real cluster, and their doubles in the lab, at the same releases and
 * with the same packages. Commands run on both as the pipeline runs them: over SSH, with sudo.
 */
export class Twins {
  readonly real: KubeadmCluster;
  readonly repository: PackageRepository;
  readonly #doubles: ReadonlyMap<TwinName, LabNode>;
  readonly #sessions: ReadonlyMap<TwinName, { readonly real: SshSession; readonly double: SshSession }>;

  private constructor(
    parts: Pick<Twins, 'real' | 'repository'> & { doubles: LabNode[]; sessions: Sessions },
  ) {
    this.real = parts.real;
    this.repository = parts.repository;
    this.#doubles = new Map(parts.doubles.map((node) => [node.name as TwinName, node]));
    this.#sessions = parts.sessions;
  }

  /**
   * Boots the real cluster and its doubles.
   *
   * @param release that both are installed with.
   * @param later the releases that {@link publish} is going to publish.
   */
  static async start(release: string, later: readonly string[]): Promise<Twins> {
    const real = await KubeadmCluster.start({ release, later });
    const repository = await new PackageRepository().start();
    repository.publish(release);
    const { privateKey, publicKey } = generateKeyPair();
    const double = (name: TwinName, role: 'master' | 'worker', address: string) =>
      LabNode.start({
        dir: join(machine.work, 'doubles', name),
        name,
        role,
        address,
        port: 0,
        release,
        containerd: '1.6.20',
        authorizedKey: publicKey,
        packages: repository.base,
        hooks: { staticPods: () => (role === 'master' ? staticPods(name) : {}) },
      });
    const doubles = [
      await double('k8s-master', 'master', '127.0.1.1'),
      await double('k8s-node1', 'worker', '127.0.1.2'),
    ];
    const sessions: Sessions = new Map();
    for (const node of doubles) {
      for (const work of ['apt-update', 'apt-install', 'kubeadm'] as const) node.setDuration(work, 0);
      const name = node.name as TwinName;
      const { address } = real.node(name);
      sessions.set(name, {
        real: await open({ name, address, port: 22 }, real.sshKey.text),
        double: await open({ name, address: node.address, port: node.port }, privateKey),
      });
    }
    const twins = new Twins({ real, repository, doubles, sessions });
    for (const { name } of doubles) {
      await twins.onDouble(name as TwinName, asDebian);
      await twins.run(name as TwinName, refresh);
    }
    return twins;
  }

  /** The double of a node. */
  double(name: TwinName): LabNode {
    const found = this.#doubles.get(name);
    if (found === undefined) throw new Error(`no double of ${name}`);
    return found;
  }

  /** Publishes a release in both repositories, and loads its images on the real nodes. */
  async publish(release: string): Promise<void> {
    this.repository.publish(release);
    await this.real.publish(release);
  }

  /** Runs a line of bash on both nodes as root. */
  async run(name: TwinName, line: string): Promise<{ readonly real: Answer; readonly double: Answer }> {
    return { real: await this.onReal(name, line), double: await this.onDouble(name, line) };
  }

  /** Runs a line of bash as root on the real node. */
  onReal(name: TwinName, line: string): Promise<Answer> {
    return this.#run(name, 'real', line);
  }

  /** Runs a line of bash as root on the double; its files are below `$K8S_UPGRADE_ROOT`. */
  async onDouble(name: TwinName, line: string): Promise<Answer> {
    const { exit, output } = await this.#run(name, 'double', line);
    return { exit, output: output.replaceAll(this.double(name).paths.root, '') };
  }

  async stop(): Promise<void> {
    for (const { real, double } of this.#sessions.values()) {
      real.close();
      double.close();
    }
    await Promise.all([...this.#doubles.values()].map((node) => node.stop()));
    await this.repository.stop();
    await this.real.stop();
  }

  async #run(name: TwinName, kind: 'real' | 'double', line: string): Promise<Answer> {
    const session = this.#sessions.get(name)?.[kind];
    if (session === undefined) throw new Error(`no node ${name}`);
    let output = '';
    const collect = (text: string) => {
      output += `${text}\n`;
    };
    // Bash has read all of the braces before it gives up its standard input.
    const script = `{ exec 2>&1 </dev/null\n${line}\nexit $?; }\n`;
    const { code } = await session.run(['bash', '-s'], script, collect, AbortSignal.timeout(240_000));
    return { exit: code, output };
  }
}

type Sessions = Map<TwinName, { readonly real: SshSession; readonly double: SshSession }>;

/** The double has Docker's package of containerd; the real nodes have Debian's. */
const asDebian = `cd $LAB_NODE_DIR/state && rm dpkg/containerd.io && echo -n '${containerd}' >dpkg/containerd &&
  echo '${containerd.replace(/-.*/, '')}' >running/containerd`;

const refresh = 'apt-get -q update';

function open({ port, ...target }: { name: string; address: string; port: number }, privateKey: string) {
  const options = {
    user: LabNode.user,
    port,
    privateKey: Buffer.from(privateKey),
    hostKeys: { known: () => undefined, accept: async () => undefined },
    connectTimeout: 10_000,
  };
  return SshSession.open(target, options, AbortSignal.timeout(10_000));
}
