import { mkdir, writeFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { defaultRoles } from './auth/default-roles.ts';
import { kubeconfigText } from './auth/kubeconfig.ts';
import { issueServerIdentity, type ServerIdentity } from './auth/pki.ts';
import { Rbac } from './auth/rbac.ts';
import { serviceAccountUser, Tokens, type UserRef } from './auth/tokens.ts';
import { startBudgets } from './controllers/budgets.ts';
import { startCronJobs } from './controllers/cronjobs.ts';
import { startHousekeeping } from './controllers/housekeeping.ts';
import { JobController } from './controllers/jobs.ts';
import { defaultTimings, Kit, type Timings } from './controllers/kit.ts';
import { Kubelets } from './controllers/kubelet.ts';
import { startScheduler } from './controllers/scheduler.ts';
import { startWorkloads } from './controllers/workloads.ts';
import { Faults } from './faults.ts';
import { serveLog } from './pods/log.ts';
import { PodRunner } from './pods/runner.ts';
import { Registry } from './registry.ts';
import { RequestLog } from './request-log.ts';
import { ResourceHandler } from './rest/handler.ts';
import { ApiHttpServer } from './server.ts';
import { Store } from './store.ts';
import type { KubeObject, Pod } from './types.ts';

export interface LabApiOptions {
  /** Scratch directory; pods' files and logs go below it. */
  readonly dir: string;
  /** What `/version` says, `X.Y.Z`. */
  readonly version: string;
  /** Image prefix → its entrypoint: pods of such images run as processes of this machine. */
  readonly entrypoints?: Readonly<Record<string, readonly string[]>>;
  /** Environment of those processes. */
  readonly extraEnv?: Readonly<Record<string, string>>;
  readonly timings?: Partial<Timings>;
}

const defaultPriorityClasses = Object.entries({
  'system-node-critical': 2_000_001_000,
  'system-cluster-critical': 2_000_000_000,
}).map(([name, value]) => ({
  apiVersion: 'scheduling.k8s.io/v1',
  kind: 'PriorityClass',
  metadata: { name },
  value,
  preemptionPolicy: 'PreemptLowerPriority',
}));

/** How long a server that has just started knows no roles, ms. */
const rolesReadAfter = 200;

/** A Kubernetes API server with the controllers that an upgrade touches, on loopback. */
export class LabApi {
  readonly store = new Store();
  readonly faults = new Faults();
  readonly requests = new RequestLog();
  /** Nodes' kubelets: take one down, bring it up. */
  readonly kubelets: Kubelets;
  /** Processes of Job pods: kill them. */
  readonly runner: PodRunner;
  readonly #registry = new Registry(this.store);
  readonly #tokens = new Tokens();
  readonly #identity: ServerIdentity;
  readonly #kit: Kit;
  readonly #server: ApiHttpServer;
  readonly #rbac = new Rbac(this.store);
  readonly #stops: (() => void)[] = [];
  #version: string;
  #outages = 0;

  static async start(options: LabApiOptions): Promise<LabApi> {
    await mkdir(options.dir, { recursive: true });
    const api = new LabApi(options, await issueServerIdentity());
    await api.#server.listen();
    return api;
  }

  private constructor(options: LabApiOptions, identity: ServerIdentity) {
    this.#identity = identity;
    this.#version = options.version;
    this.#kit = new Kit(this.#registry, { ...defaultTimings, ...options.timings });
    this.runner = this.#createRunner(options);
    this.kubelets = new Kubelets(this.#kit, this.runner);
    this.#server = this.#createServer();
    this.#stops.push(
      startHousekeeping(this.#kit, identity.caPem),
      startScheduler(this.#kit),
      startWorkloads(this.#kit),
      startBudgets(this.#kit),
      startCronJobs(this.#kit),
      new JobController(this.#kit).start(),
      this.kubelets.start(),
    );
    const namespaces = ['default', 'kube-system', 'kube-public', 'kube-node-lease'];
    this.apply(namespaces.map((name) => ({ apiVersion: 'v1', kind: 'Namespace', metadata: { name } })));
    this.apply(defaultRoles);
    this.apply(defaultPriorityClasses);
  }

  #createRunner(options: LabApiOptions): PodRunner {
    return new PodRunner({
      dir: options.dir,
      store: this.store,
      caPem: this.#identity.caPem,
      entrypoints: options.entrypoints ?? {},
      extraEnv: options.extraEnv ?? {},
      credentials: (namespace, serviceAccount) => {
        const token = this.#tokens.issue(serviceAccountUser(namespace, serviceAccount));
        const kubeconfig = kubeconfigText({
          url: this.url,
          caPem: this.caPem,
          user: serviceAccount,
          token,
          namespace,
        });
        return { token, kubeconfig };
      },
      revoke: (token) => this.#tokens.revoke(token),
    });
  }

  #createServer(): ApiHttpServer {
    const rbac = this.#rbac;
    const handler = new ResourceHandler({
      registry: this.#registry,
      rbac,
      tokens: this.#tokens,
      bookmarkInterval: this.#kit.timings.bookmark,
      serveLog: (pod, query, response) =>
        serveLog(
          pod as Pod,
          query,
          (p, container, previous) => this.runner.log(p, container, previous),
          response,
        ),
    });
    return new ApiHttpServer({
      identity: this.#identity,
      tokens: this.#tokens,
      rbac,
      handler,
      faults: this.faults,
      requests: this.requests,
      release: () => this.#version,
    });
  }

  /** `https://127.0.0.1:<port>`. */
  get url(): string {
    return `https://${this.#server.address}`;
  }

  get caPem(): string {
    return this.#identity.caPem;
  }

  get version(): string {
    return this.#version;
  }

  /** YAML text, with a token that lasts as long as the lab. */
  kubeconfig(user: UserRef): string {
    return kubeconfigText({
      url: this.url,
      caPem: this.caPem,
      user: user === 'admin' ? 'kubernetes-admin' : user.serviceAccount,
      token: this.#tokens.tokenOf(user),
      ...(user === 'admin' ? {} : { namespace: user.namespace }),
    });
  }

  /** The bearer token of {@link kubeconfig}. */
  token(user: UserRef): string {
    return this.#tokens.tokenOf(user);
  }

  /** Readable by its owner only. */
  async writeKubeconfig(path: string, user: UserRef): Promise<void> {
    await writeFile(path, this.kubeconfig(user), { mode: 0o600 });
  }

  /**
   * Puts objects in place, as an administrator's apply would, but with their status; in the given order, what exists
   * is replaced. @throws StatusError when one is invalid or its namespace is missing.
   */
  apply(objects: readonly KubeObject[]): void {
    for (const object of objects) this.#registry.seed(object);
  }

  /** What `/version` says from now on, `X.Y.Z`. */
  setVersion(release: string): void {
    this.#version = release;
  }

  /**
   * Cuts every connection, watches among them, and refuses new ones for so long; as when the static pod restarts.
   * Of several at once, the last to end counts. Resolves a moment after it is back: until it has read the roles it refuses
   * everybody but administrators, as a real one does.
   */
  async outage(ms: number): Promise<void> {
    this.#outages += 1;
    await this.#server.close();
    await sleep(ms);
    this.#outages -= 1;
    if (this.#outages > 0 || this.#kit.stopped) return;
    this.#rbac.synced = false;
    await this.#server.listen();
    await sleep(rolesReadAfter);
    this.#rbac.synced = true;
  }

  /** Resolves when the controllers have nothing left to do. */
  settled(): Promise<void> {
    return this.#kit.settled();
  }

  /** Ends processes, controllers and connections. */
  async stop(): Promise<void> {
    this.#kit.stop();
    for (const stop of this.#stops.splice(0)) stop();
    await this.runner.stop();
    await this.#server.close();
  }
}
