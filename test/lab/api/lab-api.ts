import { mkdir, writeFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import type { KubernetesObject } from '@kubernetes/client-node';
import type { SettingsInput } from '../../../runtime/src/settings/settings.ts';
import type { ApiServer } from '../api-server.ts';
import type { NodeHooks } from '../nodes/node.ts';
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
import { connectNode } from './hooks.ts';
import { serveLog } from './pods/log.ts';
import { PodRunner } from './pods/runner.ts';
import { Registry } from './registry.ts';
import { RequestLog, type RequestRecord } from './request-log.ts';
import { ResourceHandler } from './rest/handler.ts';
import { isServed } from './served.ts';
import { ApiHttpServer } from './server.ts';
import { Store } from './store.ts';
import type { KubeObject, Node, Pod, TypeOf } from './types.ts';

/** Options of {@link LabApi.start}. */
export interface LabApiOptions {
  /** Scratch directory; pods' files and logs go below it. */
  readonly dir: string;
  /** The version that `/version` reports, `X.Y.Z`. */
  readonly version: string;
  /** Image prefix → entrypoint. Pods with such an image run as processes on this machine. @default none */
  readonly entrypoints?: Readonly<Record<string, readonly string[]>>;
  /** Additional environment of those processes. @default none */
  readonly extraEnv?: Readonly<Record<string, string>>;
  /** Overrides of {@link defaultTimings}. @default none */
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

/** How long a restarted server takes to read the roles, in ms. */
const rolesReadAfter = 200;

/** A Kubernetes API server on loopback, with the controllers that matter for an upgrade. */
export class LabApi implements ApiServer {
  /** All objects, without validation or access control. */
  readonly store = new Store();
  /** Faults to inject into requests. */
  readonly faults = new Faults();
  /** Every request so far. */
  readonly requests = new RequestLog();
  /** The nodes' kubelets, to stop and start them. */
  readonly kubelets: Kubelets;
  /** The processes of pods, to kill them. */
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

  /** Starts the server and its controllers. */
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
    this.kubelets = new Kubelets(this.#kit, this.runner, (ms) => void this.outage(ms));
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
      url: () => this.url,
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

  /** Certificate of the CA that signed the server's certificate, PEM. */
  get caPem(): string {
    return this.#identity.caPem;
  }

  /** The version that `/version` reports, `X.Y.Z`. */
  get version(): string {
    return this.#version;
  }

  /** Kubeconfig of the user as YAML text. Its token is valid as long as the lab. */
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

  /** Writes {@link kubeconfig} to a file that only its owner can read. */
  async writeKubeconfig(path: string, user: UserRef): Promise<void> {
    await writeFile(path, this.kubeconfig(user), { mode: 0o600 });
  }

  /**
   * Creates or replaces objects in the given order, as an administrator's apply would, but including their
   * status.
   * @throws StatusError when one is invalid or its namespace is missing.
   */
  apply(objects: readonly KubeObject[]): void {
    for (const object of objects) this.#registry.seed(object);
  }

  get view(): Store {
    return this.store;
  }

  settings(base: SettingsInput): SettingsInput {
    return base;
  }

  get<R extends string>(resource: R, namespace: string | undefined, name: string): TypeOf<R> | undefined {
    return this.store.get(resource, namespace, name);
  }

  list<R extends string>(resource: R, namespace?: string): TypeOf<R>[] {
    return this.store.list(resource, namespace);
  }

  modify<R extends string>(
    resource: R,
    namespace: string | undefined,
    name: string,
    change: (object: TypeOf<R>) => void,
  ): void {
    this.store.modify(resource, namespace, name, change);
  }

  remove(resource: string, namespace: string | undefined, name: string): void {
    this.store.remove(resource, namespace, name);
  }

  /** Leaves out what the lab does not serve. */
  deploy(objects: readonly KubernetesObject[]): void {
    const first = (object: KubernetesObject) => Number(object.kind === 'Namespace');
    // Terraform knows from references what must be there first; here that is the namespace.
    const sorted = objects.filter(isServed).sort((a, b) => first(b) - first(a));
    this.apply(sorted as unknown as KubeObject[]);
  }

  join(node: KubeObject): void {
    this.apply([node, leaseOf(node.metadata?.name ?? '')]);
  }

  leave(name: string): Node {
    const node = this.store.remove('nodes', undefined, name);
    if (node === undefined) throw new Error(`no node ${name}`);
    for (const { metadata, spec } of this.store.list('pods'))
      if (spec?.nodeName === name) this.store.remove('pods', metadata.namespace, metadata.name);
    return node;
  }

  hooks(node: string): NodeHooks {
    return connectNode(this, node);
  }

  killPod(name: string): boolean {
    return this.runner.kill(name, 'SIGKILL');
  }

  requestLog(): readonly RequestRecord[] {
    return this.requests.all;
  }

  /** Listeners of the {@link store} are called with each change. */
  async caughtUp(): Promise<void> {}

  /** Changes the version that `/version` reports, `X.Y.Z`. */
  setVersion(release: string): void {
    this.#version = release;
  }

  /**
   * Cuts every connection, including watches, and refuses new ones for this long, as when the static pod
   * restarts. Overlapping outages end with the last one. Resolves shortly after the server is back: like a
   * real one, it refuses everybody except administrators until it has read the roles.
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

  /** Resolves when the controllers have no work left. */
  settled(): Promise<void> {
    return this.#kit.settled();
  }

  /** Stops processes, controllers and connections. */
  async stop(): Promise<void> {
    this.#kit.stop();
    for (const stop of this.#stops.splice(0)) stop();
    await this.runner.stop();
    await this.#server.close();
  }
}

const leaseOf = (node: string): KubeObject => ({
  apiVersion: 'coordination.k8s.io/v1',
  kind: 'Lease',
  metadata: { name: node, namespace: 'kube-node-lease' },
  spec: {
    holderIdentity: node,
    leaseDurationSeconds: 40,
    renewTime: new Date().toISOString().replace('Z', '000Z'),
  },
});
