import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CoreV1Api, KubeConfig } from '@kubernetes/client-node';
import { kubeconfigText } from '../lab/api/auth/kubeconfig.ts';
import type { UserRef } from '../lab/api/index.ts';
import { builtRelease, realPrograms } from './build.ts';
import {
  apiServerArguments,
  emulationOf,
  type Identity,
  identities,
  startEtcd,
  writeCredentials,
} from './control-plane.ts';
import { freePorts, Program, statusOf, until } from './program.ts';

export interface RealClusterOptions {
  /** Which of the server's builds, `X.Y.Z`. @default that of go.mod */
  readonly version?: string;
  /** Jobs, tokens, disruption budgets, garbage collection. @default true */
  readonly controllers?: boolean;
  /** @default true */
  readonly scheduler?: boolean;
}

/** One line of the audit log, as far as the tests read it. */
export interface AuditEvent {
  readonly verb: string;
  readonly requestURI: string;
  readonly user: { readonly username: string };
  readonly objectRef?: {
    readonly resource?: string;
    readonly subresource?: string;
    readonly namespace?: string;
    readonly name?: string;
    readonly apiGroup?: string;
  };
  readonly requestReceivedTimestamp: string;
  /** Of deletions, where they have one. */
  readonly requestObject?: { readonly dryRun?: readonly string[] };
  readonly responseStatus?: { readonly code?: number; readonly message?: string };
  readonly annotations?: Readonly<Record<string, string>>;
}

/**
 * A real control plane on loopback: etcd, kube-apiserver, kube-controller-manager, kube-scheduler. Without
 * nodes.
 */
export class RealCluster {
  /** Scratch; goes with {@link stop}. */
  readonly dir: string;
  /** `https://127.0.0.1:<port>`. */
  readonly url: string;
  readonly caPem: string;
  /** Path of the CA certificate. */
  readonly caFile: string;
  /** Path of a kubeconfig for a cluster administrator. */
  readonly adminKubeconfig: string;
  /** Path of the audit log: one JSON object a line, {@link auditEvents} reads it. */
  readonly auditLog: string;
  readonly #programs: { etcd: Program; server: Program; others: Program[] };
  readonly #tokens: Readonly<Record<Identity, string>>;
  readonly #serverArguments: readonly string[];
  readonly #options: RealClusterOptions;
  /** From the stop of the server until it was ready again. */
  readonly #restarts: { readonly from: number; readonly to: number }[] = [];

  /** What the audit log held when the server had stopped. */
  #eventsAtStop: Promise<AuditEvent[]> | undefined;

  private constructor(parts: {
    dir: string;
    port: number;
    caPem: string;
    tokens: Readonly<Record<Identity, string>>;
    etcd: Program;
    serverArguments: readonly string[];
    options: RealClusterOptions;
  }) {
    this.dir = parts.dir;
    this.url = `https://127.0.0.1:${parts.port}`;
    this.caPem = parts.caPem;
    this.caFile = join(parts.dir, 'ca.crt');
    this.adminKubeconfig = join(parts.dir, 'admin.kubeconfig');
    this.auditLog = join(parts.dir, 'audit.log');
    this.#tokens = parts.tokens;
    this.#serverArguments = parts.serverArguments;
    this.#options = parts.options;
    this.#programs = { etcd: parts.etcd, server: this.#startServer(parts.options.version), others: [] };
  }

  /** Resolves when it is ready to be used, 10 s or so later. @throws Error when a part does not start. */
  static async start(options: RealClusterOptions = {}): Promise<RealCluster> {
    const bin = realPrograms();
    const dir = await mkdtemp(join(tmpdir(), 'real-cluster-'));
    const [etcdPort = 0, peerPort = 0, port = 0] = await freePorts(3);
    const etcd = startEtcd(bin, dir, etcdPort, peerPort);
    const { caPem, tokens } = await writeCredentials(dir);
    const serverArguments = apiServerArguments(dir, port, etcdPort);
    const cluster = new RealCluster({
      dir,
      port,
      caPem,
      tokens,
      etcd,
      serverArguments,
      options,
    });
    try {
      await cluster.#begin();
    } catch (error) {
      await cluster.stop();
      throw error;
    }
    return cluster;
  }

  async #begin(): Promise<void> {
    for (const identity of Object.keys(identities) as Identity[]) {
      await writeFile(this.#kubeconfigOf(identity), this.#kubeconfigText(identity), { mode: 0o600 });
    }
    await this.#ready();
    await this.#startOthers(this.#options.version);
    if (this.#options.controllers !== false) await this.#accountsAreMade();
  }

  /** The controllers and the scheduler. Resolves when they are running. */
  async #startOthers(version: string = builtRelease): Promise<void> {
    const bin = realPrograms();
    const [managerPort = 0, schedulerPort = 0] = await freePorts(2);
    const start = (name: string, port: number, args: readonly string[]) => {
      const all = [...args, ...emulationOf(version), ...this.#servingArguments(port)];
      const program = new Program(join(bin, name), all, this.dir);
      this.#programs.others.push(program);
      const isHealthy = async () =>
        (await statusOf(`https://127.0.0.1:${port}/healthz`, this.caPem, this.#tokens.lab)) === 200;
      return until(name, [program], isHealthy);
    };
    const { controllers = true, scheduler = true } = this.#options;
    await Promise.all([
      controllers && start('kube-controller-manager', managerPort, this.#managerArguments()),
      scheduler &&
        start('kube-scheduler', schedulerPort, [
          `--kubeconfig=${this.#kubeconfigOf('scheduler')}`,
          '--leader-elect=false',
        ]),
    ]);
  }

  /**
   * Another release of the control plane takes its place, as when kubeadm replaces its static pods. Resolves
   * when all of it is running: controllers that only saw the API server go would wait for it, and for up to
   * half a minute not see what changes.
   */
  async restartServer(version?: string): Promise<void> {
    const from = Date.now();
    const { server, others } = this.#programs;
    await Promise.all([server, ...others.splice(0)].map((program) => program.stop()));
    this.#programs.server = this.#startServer(version);
    await this.#ready();
    this.#restarts.push({ from, to: Date.now() });
    await this.#startOthers(version);
  }

  /**
   * Was the server then on its way back? Until it has read the roles it refuses everybody but administrators.
   */
  wasStarting({ requestReceivedTimestamp }: AuditEvent): boolean {
    const time = Date.parse(requestReceivedTimestamp);
    return this.#restarts.some(({ from, to }) => time >= from && time <= to);
  }

  /**
   * Configuration of a client with the rights of `user`; for a service account with a token of the
   * TokenRequest API.
   */
  async config(user: UserRef = 'admin'): Promise<KubeConfig> {
    const config = new KubeConfig();
    config.loadFromString(await this.kubeconfig(user));
    return config;
  }

  /** YAML text. */
  async kubeconfig(user: UserRef = 'admin'): Promise<string> {
    if (user === 'admin') return this.#kubeconfigText('admin');
    const token = await this.token(user);
    const { namespace, serviceAccount } = user;
    return kubeconfigText({ url: this.url, caPem: this.caPem, user: serviceAccount, token, namespace });
  }

  /** A bearer token, of a service account good for an hour. */
  async token(user: UserRef | 'lab'): Promise<string> {
    if (user === 'admin' || user === 'lab') return this.#tokens[user];
    const core = await this.#core();
    const request = { spec: { audiences: [], expirationSeconds: 3600 } };
    const { namespace, serviceAccount: name } = user;
    const { status } = await core.createNamespacedServiceAccountToken({ namespace, name, body: request });
    if (status === undefined) throw new Error(`no token for ${namespace}/${name}`);
    return status.token;
  }

  /** Every request that has been answered so far. */
  auditEvents(): Promise<AuditEvent[]> {
    return this.#eventsAtStop ?? this.#readAuditLog();
  }

  async #readAuditLog(): Promise<AuditEvent[]> {
    const text = await readFile(this.auditLog, 'utf8');
    const lines = text.slice(0, text.lastIndexOf('\n')).split('\n');
    return lines.filter(Boolean).map((line) => JSON.parse(line) as AuditEvent);
  }

  /** Ends every part and removes its files. */
  async stop(): Promise<void> {
    const { etcd, server, others } = this.#programs;
    await Promise.all(others.map((program) => program.stop()));
    await server.stop();
    this.#eventsAtStop ??= this.#readAuditLog();
    // A failure is that of the call that reads the events.
    await this.#eventsAtStop.catch(() => undefined);
    await etcd.stop();
    await rm(this.dir, { recursive: true, force: true });
  }

  #startServer(version: string = builtRelease): Program {
    const name = version === builtRelease ? 'kube-apiserver' : `kube-apiserver-${version}`;
    return new Program(join(realPrograms(), name), this.#serverArguments, this.dir);
  }

  /** Ready, and with the roles and priority classes that it makes itself after its start. */
  async #ready(): Promise<void> {
    const { server, etcd } = this.#programs;
    const isReady = async () => (await statusOf(`${this.url}/readyz`, this.caPem, this.#tokens.lab)) === 200;
    await until('kube-apiserver', [server, etcd], isReady);
  }

  /** Without its default account a namespace takes no pods. */
  async #accountsAreMade(): Promise<void> {
    const core = await this.#core();
    await until('kube-controller-manager', this.#programs.others, async () => {
      await core.readNamespacedServiceAccount({ name: 'default', namespace: 'default' });
      return true;
    });
  }

  async #core(): Promise<CoreV1Api> {
    const config = new KubeConfig();
    config.loadFromString(this.#kubeconfigText('lab'));
    return config.makeApiClient(CoreV1Api);
  }

  #kubeconfigOf(identity: Identity): string {
    return join(this.dir, `${identity}.kubeconfig`);
  }

  #kubeconfigText(identity: Identity): string {
    const { name: user } = identities[identity];
    return kubeconfigText({ url: this.url, caPem: this.caPem, user, token: this.#tokens[identity] });
  }

  #managerArguments(): string[] {
    return [
      `--kubeconfig=${this.#kubeconfigOf('controllers')}`,
      `--service-account-private-key-file=${join(this.dir, 'sa.key')}`,
      `--root-ca-file=${this.caFile}`,
      '--use-service-account-credentials=true',
      // No cloud, no network, no volumes: what is left is what an upgrade meets.
      '--controllers=*,-node-ipam-controller,-cloud-node-lifecycle-controller,-persistentvolume-binder-controller',
      '--leader-elect=false',
    ];
  }

  #servingArguments(port: number): string[] {
    const [cert, key] = ['server.crt', 'server.key'].map((name) => join(this.dir, name));
    return [
      '--bind-address=127.0.0.1',
      `--secure-port=${port}`,
      `--tls-cert-file=${cert}`,
      `--tls-private-key-file=${key}`,
    ];
  }
}
