import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { assembledScripts } from '../../runtime/node-scripts.mjs';
import type { EtcdKey } from '../hosts/etcd.ts';
import { setUpEtcd } from '../hosts/etcd-pki.ts';
import { realPrograms } from './build.ts';
import { freePorts, Program, until } from './program.ts';

const exec = promisify(execFile);
const pki = '/etc/kubernetes/pki/etcd';
const script = join(assembledScripts, 'snapshot_etcd.sh');

/** A crictl whose container has its files below the node's root. */
const crictl = (root: string, bin: string) => `#!/bin/bash
set -euo pipefail
[[ $1 != ps ]] || { echo 3f2a9c0d1e77; exit; }
[[ $1 == exec && $2 == 3f2a9c0d1e77 ]]
shift 2
echo "$*" >>'${root}/calls'
arguments=()
for argument in "$@"; do
  case $argument in
    *=/etc/* | *=/var/*) argument=\${argument/=/=${root}} ;;
    /var/*) argument=${root}$argument ;;
  esac
  arguments+=("$argument")
done
exec '${bin}'/"\${arguments[@]}"
`;

const manifest = (port: number) => `apiVersion: v1
kind: Pod
metadata:
  name: etcd
  namespace: kube-system
spec:
  containers:
    - name: etcd
      command:
        - etcd
        - --cert-file=${pki}/server.crt
        - --data-dir=/var/lib/etcd
        - --feature-gates=InitialCorruptCheck=true
        - --key-file=${pki}/server.key
        - --listen-client-urls=https://127.0.0.1:${port}
        - --trusted-ca-file=${pki}/ca.crt
`;

interface Contents {
  readonly revision: number;
  readonly keys: readonly EtcdKey[];
}

/**
 * The parts of a control-plane node that snapshot_etcd.sh uses: crictl, and a real etcd with TLS in a
 * container.
 */
export class EtcdNode {
  /** The directory that is the node's `/`. */
  readonly root: string;
  readonly #port: number;
  readonly #etcd: Program;

  private constructor(root: string, port: number, etcd: Program) {
    this.root = root;
    this.#port = port;
    this.#etcd = etcd;
  }

  /** Resolves when etcd answers. @throws Error when it does not. */
  static async start(): Promise<EtcdNode> {
    const root = await mkdtemp(join(tmpdir(), 'etcd-node-'));
    const [port = 0, peerPort = 0] = await freePorts(2);
    await setUpEtcd(root, 'k8s-master');
    for (const directory of ['etc/kubernetes/manifests', 'bin']) await mkdir(join(root, directory));
    await writeFile(join(root, 'etc/kubernetes/manifests/etcd.yaml'), manifest(port));
    await writeFile(join(root, 'bin/crictl'), crictl(root, realPrograms()), { mode: 0o755 });
    // The files belong to the user of the test, so root is not needed.
    await writeFile(join(root, 'bin/sudo'), '#!/bin/bash\nshift 2\nexec "$@"\n', { mode: 0o755 });
    const node = new EtcdNode(root, port, server(root, join(root, 'var/lib/etcd'), port, peerPort));
    try {
      await node.#ready();
    } catch (error) {
      await node.stop();
      throw error;
    }
    return node;
  }

  /** The command lines run in the container. */
  get calls(): readonly string[] {
    const file = join(this.root, 'calls');
    return existsSync(file) ? readFileSync(file, 'utf8').trim().split('\n') : [];
  }

  /** Runs snapshot_etcd.sh on the node. `output` is stdout and stderr. */
  async script(...args: string[]): Promise<{ exitCode: number; output: string }> {
    const env = { ...process.env, K8S_UPGRADE_ROOT: this.root, PATH: `${this.root}/bin:/usr/bin:/bin` };
    try {
      const { stdout, stderr } = await exec('bash', [script, ...args], { env });
      return { exitCode: 0, output: stdout + stderr };
    } catch (error) {
      const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string };
      return { exitCode: code, output: stdout + stderr };
    }
  }

  /** Writes this many keys, every fifth of them twice, and deletes every seventh. */
  async fill(count: number): Promise<void> {
    for (let n = 0; n < count; n++) {
      const key = `/registry/configmaps/default/c${n}`;
      for (let times = n % 5 === 0 ? 2 : 1; times > 0; times--)
        await this.#ctl('put', key, `${times} of ${n}`);
      if (n % 7 === 3) await this.#ctl('del', key);
    }
  }

  /** Every key in order, and the revision. */
  keys(): Promise<Contents> {
    return this.#contents(this.#port);
  }

  /** The contents of a snapshot, restored by etcdutl into a second etcd. Call it once. */
  async restored(snapshot: string): Promise<Contents> {
    const data = join(this.root, 'restored');
    const [port = 0, peerPort = 0] = await freePorts(2);
    await exec(join(realPrograms(), 'etcdutl'), [
      ...['snapshot', 'restore', snapshot, `--data-dir=${data}`],
      ...membership(peerPort),
    ]);
    const etcd = server(this.root, data, port, peerPort);
    try {
      await until('the restored etcd', [etcd], () => this.#answers(port));
      return await this.#contents(port);
    } finally {
      await etcd.stop();
    }
  }

  /** The file's SHA-256 in hexadecimal. */
  async sha256(file: string): Promise<string> {
    return createHash('sha256')
      .update(await readFile(file))
      .digest('hex');
  }

  /** Stops etcd and deletes the node's files. */
  async stop(): Promise<void> {
    await this.#etcd.stop();
    await rm(this.root, { recursive: true, force: true });
  }

  #ready(): Promise<void> {
    return until('etcd', [this.#etcd], () => this.#answers(this.#port));
  }

  async #answers(port: number): Promise<boolean> {
    await this.#ctlOf(port, 'endpoint', 'health');
    return true;
  }

  async #contents(port: number): Promise<Contents> {
    const { header, kvs = [] } = JSON.parse(await this.#ctlOf(port, 'get', '', '--prefix', '-w', 'json'));
    return { revision: header.revision, keys: kvs };
  }

  #ctl(...words: string[]): Promise<string> {
    return this.#ctlOf(this.#port, ...words);
  }

  async #ctlOf(port: number, ...words: string[]): Promise<string> {
    const file = (name: string) => join(this.root, pki, name);
    const { stdout } = await exec(join(realPrograms(), 'etcdctl'), [
      `--endpoints=https://127.0.0.1:${port}`,
      `--cacert=${file('ca.crt')}`,
      `--cert=${file('healthcheck-client.crt')}`,
      `--key=${file('healthcheck-client.key')}`,
      ...words,
    ]);
    return stdout;
  }
}

const membership = (peerPort: number): string[] => [
  '--name=k8s-master',
  `--initial-cluster=k8s-master=https://127.0.0.1:${peerPort}`,
  `--initial-advertise-peer-urls=https://127.0.0.1:${peerPort}`,
];

/** etcd with the certificates below `root`, as in kubeadm's manifest. */
function server(root: string, data: string, port: number, peerPort: number): Program {
  const file = (name: string) => join(root, pki, name);
  const args = [
    `--data-dir=${data}`,
    ...membership(peerPort),
    `--listen-client-urls=https://127.0.0.1:${port}`,
    `--advertise-client-urls=https://127.0.0.1:${port}`,
    `--listen-peer-urls=https://127.0.0.1:${peerPort}`,
    `--cert-file=${file('server.crt')}`,
    `--key-file=${file('server.key')}`,
    `--trusted-ca-file=${file('ca.crt')}`,
    '--client-cert-auth',
    `--peer-cert-file=${file('peer.crt')}`,
    `--peer-key-file=${file('peer.key')}`,
    `--peer-trusted-ca-file=${file('ca.crt')}`,
    '--peer-client-cert-auth',
  ];
  return new Program(join(realPrograms(), 'etcd'), args, root);
}
