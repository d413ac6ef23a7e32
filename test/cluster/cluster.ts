import { execFileSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parse } from 'yaml';
import { HostNetwork } from '../hosts/network.ts';
import { DebRepository } from '../hosts/repository.ts';
import { machine, run } from '../hosts/shell.ts';
import { SigningKey } from '../hosts/signing-key.ts';
import { Rest } from '../lab/api/contract/rest.ts';
import type { Node as NodeObject, Pod } from '../lab/api/types.ts';
import { generateKeyPair } from '../lab/nodes/ssh.ts';
import { until } from '../lab/waits.ts';
import { type Images, imagesOf } from './images.ts';
import { install } from './installation.ts';
import { initFile, joinFile, type KubeadmOptions, newCertificateKey, newToken } from './kubeadm.ts';
import { LoadBalancer } from './load-balancer.ts';
import { Node, podRange } from './node.ts';
import { realPackages } from './packages.ts';
import { Programs } from './programs.ts';

/**
 * Nodes by role: `1+2` is one control-plane node and two workers. Where there are fewer than two workers,
 * control-plane nodes take any pod.
 */
const topologies = {
  '1+2': { controlPlane: ['k8s-master'], workers: ['k8s-node1', 'k8s-node2'] },
  '3+1': { controlPlane: ['k8s-master', 'k8s-master2', 'k8s-master3'], workers: ['k8s-node1'] },
  '1+0': { controlPlane: ['k8s-master'], workers: [] },
} as const;

export type Topology = keyof typeof topologies;

/** Options of {@link KubeadmCluster.start}. */
export interface KubeadmClusterOptions {
  /** @default 1+2 */
  readonly topology?: Topology;
  /** The release that it is installed with, X.Y.Z. */
  readonly release: string;
  /** Releases that {@link KubeadmCluster.publish} is going to publish; built with the first. @default none */
  readonly later?: readonly string[];
  /** Unique among the clusters of a test run; 0 to 255. @default 0 */
  readonly number?: number;
  /** Called with what is being done. @default nothing */
  readonly onStep?: (text: string) => void;
}

/** A real kubeadm cluster: its nodes, its API, its package repository. */
export class KubeadmCluster {
  readonly nodes: readonly Node[];
  readonly repository: DebRepository;
  readonly network: HostNetwork;
  /** OpenSSH private key of the user `wizard` on every node, and the file that holds it. */
  readonly sshKey: { readonly text: string; readonly path: string };
  /** Path of the kubeconfig that kubeadm wrote for the administrator. */
  readonly kubeconfig: string;
  /** The API as an administrator with a token. */
  readonly rest: Rest;
  /** Scratch directory; goes with the machine's namespaces. */
  readonly dir: string;
  /** Path of kubectl of the first release. */
  readonly kubectlProgram: string;
  readonly #programs: Programs;
  readonly #base: string;
  readonly #balancer: LoadBalancer | undefined;

  private constructor(
    parts: Pick<
      KubeadmCluster,
      'nodes' | 'repository' | 'network' | 'sshKey' | 'kubeconfig' | 'rest' | 'dir' | 'kubectlProgram'
    > & { programs: Programs; base: string; balancer: LoadBalancer | undefined },
  ) {
    this.nodes = parts.nodes;
    this.repository = parts.repository;
    this.network = parts.network;
    this.sshKey = parts.sshKey;
    this.kubeconfig = parts.kubeconfig;
    this.rest = parts.rest;
    this.dir = parts.dir;
    this.kubectlProgram = parts.kubectlProgram;
    this.#programs = parts.programs;
    this.#base = parts.base;
    this.#balancer = parts.balancer;
  }

  /** Resolves when every node and every pod is Ready. */
  static async start(options: KubeadmClusterOptions): Promise<KubeadmCluster> {
    const { topology = '1+2', release, later = [], number = 0, onStep: step = () => undefined } = options;
    const { controlPlane, workers } = topologies[topology];
    const names = [...controlPlane, ...workers];
    const dir = await mkdtemp(join(machine.work, 'cluster-'));
    const programs = new Programs([release, ...later]);
    const base = execFileSync(join(import.meta.dirname, 'base.sh'), { encoding: 'utf8' }).trim();
    const network = new HostNetwork(number);
    await network.create();
    step('packages');
    const key = await SigningKey.create(join(dir, 'gnupg'));
    const repository = new DebRepository(
      network.gateway,
      join(dir, 'repository'),
      key,
      realPackages(programs),
    );
    await repository.start();
    await repository.publish(release.split('.', 2).join('.'), [release]);
    const { privateKey, publicKey } = generateKeyPair();
    const sshKey = { text: privateKey, path: join(dir, 'ssh_key') };
    await writeFile(sshKey.path, privateKey, { mode: 0o600 });
    const lower = await install({
      base,
      directory: join(dir, 'installation'),
      repository,
      key,
      release,
      authorizedKey: publicKey,
    });
    step('nodes');
    const hosts = names.map((name, host) => `${network.addressOf(host)} ${name}\n`);
    const nodes = await Promise.all(
      names.map((name, host) =>
        Node.start({
          name,
          number: host,
          network,
          lower,
          isControlPlane: host < controlPlane.length,
          directory: join(dir, name),
          hosts: `127.0.0.1 localhost\n${hosts.join('')}`,
        }),
      ),
    );
    for (const node of nodes) {
      for (const other of nodes) if (other !== node) await node.routeTo(other);
      await run('ip', ['route', 'replace', podRange(nodes.indexOf(node)), 'via', node.address]);
    }
    step('images');
    await loadImages(nodes, await imagesOf(programs, release, base));
    step('kubeadm init');
    const members = nodes.slice(0, controlPlane.length);
    const [first] = nodes;
    if (first === undefined) throw new Error('no node');
    const balancer =
      members.length > 1
        ? await LoadBalancer.start(
            network.gateway,
            members.map(({ address }) => address),
          )
        : undefined;
    const kubeadm: KubeadmOptions = {
      release,
      endpoint: `${balancer === undefined ? first.address : network.gateway}:6443`,
      token: newToken(),
      certificateKey: newCertificateKey(),
    };
    await first.write('/root/init.yaml', initFile(kubeadm, first.address), 0o600);
    await first.exec('kubeadm', 'init', '--config=/root/init.yaml', ...(balancer ? ['--upload-certs'] : []));
    step('kubeadm join');
    const joinCluster = async (node: Node) => {
      await node.write('/root/join.yaml', joinFile(kubeadm, node.address, members.includes(node)), 0o600);
      await node.exec('kubeadm', 'join', '--config=/root/join.yaml');
    };
    // etcd takes one new member at a time.
    for (const node of members.slice(1)) await joinCluster(node);
    await Promise.all(nodes.slice(members.length).map(joinCluster));
    const kubeconfig = join(dir, 'admin.conf');
    await writeFile(kubeconfig, first.read('/etc/kubernetes/admin.conf'), { mode: 0o600 });
    const kubectlProgram = programs.ofKubernetes('kubectl', release);
    const rest = await administrator(kubectlProgram, kubeconfig);
    const cluster = new KubeadmCluster({
      nodes,
      repository,
      network,
      sshKey,
      kubeconfig,
      rest,
      dir,
      kubectlProgram,
      programs,
      base,
      balancer,
    });
    // A workload with a budget cannot leave its node unless another one takes it.
    if (workers.length < 2)
      for (const { name } of members)
        await cluster.kubectl('taint', 'node', name, 'node-role.kubernetes.io/control-plane-');
    step('all Ready');
    await cluster.ready();
    return cluster;
  }

  /** Puts a release's packages into the repository and its images on the nodes. */
  async publish(release: string, options: { readonly images?: boolean } = {}): Promise<void> {
    const minor = release.split('.', 2).join('.');
    await this.repository.publish(minor, [release]);
    if (options.images === false) return;
    await loadImages(this.nodes, await imagesOf(this.#programs, release, this.#base));
  }

  /** A node by its name. */
  node(name: string): Node {
    const found = this.nodes.find((node) => node.name === name);
    if (found === undefined) throw new Error(`no node ${name}`);
    return found;
  }

  /** Runs kubectl as the administrator. Resolves with its output. */
  kubectl(...args: string[]): Promise<string> {
    return run(this.kubectlProgram, [`--kubeconfig=${this.kubeconfig}`, ...args]);
  }

  /** Resolves when every node is Ready and every pod that is not finished is Ready. */
  async ready(): Promise<void> {
    let missing = '';
    const isReady = async () => {
      const [nodes, pods] = await Promise.all([
        this.rest.find('/api/v1/nodes').catch(() => undefined),
        this.rest.find('/api/v1/pods').catch(() => undefined),
      ]);
      missing = [...unready(nodes?.items), ...unready(pods?.items)].join(', ');
      return nodes?.items.length === this.nodes.length && pods !== undefined && missing === '';
    };
    await until('all nodes and pods are Ready', isReady).catch((error: Error) => {
      throw new Error(`${error.message}; not Ready: ${missing}`);
    });
  }

  /** Cuts the power of every node and removes everything, which gives the memory back. */
  async stop(): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.remove()));
    await this.#balancer?.stop();
    await this.repository.stop();
    await this.network.remove(this.nodes.length);
    await rm(this.dir, { recursive: true });
  }
}

/** Loads into each node what its role runs: nothing can be pulled. */
async function loadImages(nodes: readonly Node[], images: Images): Promise<void> {
  const archivesOf = (node: Node) => [...images.every, ...(node.isControlPlane ? images.controlPlane : [])];
  await Promise.all(
    nodes.map(async (node) => {
      for (const archive of archivesOf(node)) await node.load(archive);
    }),
  );
}

const isFinished = ({ status }: NodeObject | Pod): boolean =>
  status !== undefined && 'phase' in status && ['Succeeded', 'Failed'].includes(status.phase ?? '');

/** Names of those that should be Ready and are not. */
export const unready = (objects: readonly (NodeObject | Pod)[] = []): string[] =>
  objects
    .filter((object) => !isFinished(object))
    .filter(({ status }) => !status?.conditions?.some((one) => one.type === 'Ready' && one.status === 'True'))
    .map(({ metadata }) => metadata.name);

/** A client with a token, as the certificate in kubeadm's kubeconfig needs TLS settings that it has not. */
async function administrator(kubectl: string, kubeconfig: string): Promise<Rest> {
  const as = (...args: string[]) => run(kubectl, [`--kubeconfig=${kubeconfig}`, ...args]);
  const account = 'kube-system:test-administrator';
  await as('--namespace=kube-system', 'create', 'serviceaccount', 'test-administrator');
  await as(
    'create',
    'clusterrolebinding',
    'test-administrator',
    '--clusterrole=cluster-admin',
    `--serviceaccount=${account}`,
  );
  const token = await as(
    '--namespace=kube-system',
    'create',
    'token',
    'test-administrator',
    '--duration=24h',
  );
  const { clusters } = parse(await as('config', 'view', '--raw')) as {
    clusters: { cluster: { server: string; 'certificate-authority-data': string } }[];
  };
  const [{ cluster } = { cluster: { server: '', 'certificate-authority-data': '' } }] = clusters;
  const caPem = Buffer.from(cluster['certificate-authority-data'], 'base64').toString();
  return new Rest({ url: cluster.server, caPem, token: token.trim() });
}
