import { type ChildProcess, spawn } from 'node:child_process';
import { EventEmitter, once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import {
  type ApiConstructor,
  type ApiType,
  BatchV1Api,
  CoreV1Api,
  KubeConfig,
} from '@kubernetes/client-node';
import { credentialKeys, jobLabels, objectNames } from '../../runtime/src/names.ts';
import type { RunEvent } from '../../runtime/src/report/events.ts';
import type { SettingsInput } from '../../runtime/src/settings/settings.ts';
import { isFinished, isReady } from './api/controllers/pods.ts';
import { type Job, LabApi, type Node, type Pod, type UserRef } from './api/index.ts';
import type { ApiServer, StartApi } from './api-server.ts';
import { labNodes, seedCluster } from './cluster.ts';
import { Invariants } from './invariants.ts';
import type { LabNodeSpec, Machine } from './machine.ts';
import type { LabNode } from './nodes/node.ts';
import { generateKeyPair } from './nodes/ssh.ts';
import type { AgentService } from './services/agent-service.ts';
import type { PackageRepository } from './services/packages.ts';
import type { Prometheus } from './services/prometheus.ts';
import type { Pushgateway } from './services/pushgateway.ts';
import type { Slack } from './services/slack.ts';
import { labSettings } from './settings.ts';
import { deployedObjects } from './stack.ts';
import {
  defaultRelease,
  type Services,
  type StartNodes,
  secretOf,
  startNodes,
  startServices,
  writeFiles,
} from './surroundings.ts';
import { until } from './waits.ts';

/** The embedded API server. */
const startLabApi: StartApi<LabApi> = ({ release, ...options }) =>
  LabApi.start({ ...options, version: release });

export const bundle = fileURLToPath(new URL('../../runtime/dist/k8s-upgrade.cjs', import.meta.url));

/** What a lab consists of, where it is not the embedded API server and nodes of stub programs. */
export interface LabParts<N extends Machine, A extends ApiServer> {
  readonly startApi: StartApi<A>;
  readonly startNodes: StartNodes<N>;
}

/** A lab whose API server may be a real one: what a scenario plays in. */
export type AnyLab = Lab<LabNode, ApiServer>;

export interface LabOptions {
  /** Release of every node. @default 1.34.2 */
  readonly release?: string;
  /** Per node, instead of `release`. */
  readonly releases?: Readonly<Record<string, string>>;
  /** @default {@link labNodes} */
  readonly nodes?: readonly LabNodeSpec[];
  /** @default 2.1.4 everywhere */
  readonly containerd?: Readonly<Record<string, string>>;
  /** What the package repositories hold. @default 1.34.2, 1.34.5 */
  readonly published?: readonly string[];
  /** Merged over {@link labSettings}. */
  readonly settings?: (base: SettingsInput) => SettingsInput;
  /**
   * How long the nodes' programs work: long enough to be followed by eye, or as short as they can.
   * @default brisk
   */
  readonly pace?: 'visible' | 'brisk';
  /** Node that runs the processes. @default this one */
  readonly node?: string;
}

/** How one run of the program ended. */
export interface CliResult {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * The whole lab: a cluster, its nodes and the services around it, each reached over its real protocol. Holds
 * what `scripts/tg apply` would deploy with the lab's settings.
 */
export class Lab<N extends Machine = LabNode, A extends ApiServer = LabApi> {
  readonly dir: string;
  readonly api: A;
  readonly nodes: ReadonlyMap<string, N>;
  readonly packages: PackageRepository;
  readonly prometheus: Prometheus;
  readonly pushgateway: Pushgateway;
  readonly slack: Slack;
  readonly agentService: AgentService;
  readonly settings: SettingsInput;
  /** Settings for a person or a test at this machine, with the secrets as files below {@link dir}. */
  readonly settingsFile: string;
  readonly privateKeyFile: string;
  /**
   * `run-event` with what the Jobs of a run report, as it arrives in their log; `log` with every other line.
   */
  readonly events = new EventEmitter<{ 'run-event': [RunEvent]; log: [string] }>();
  /** Every change of a node's `spec.unschedulable`, in order. */
  readonly cordons: { readonly node: string; readonly unschedulable: boolean }[] = [];
  readonly invariants: Invariants;
  readonly #children: Set<ChildProcess>;
  readonly #node: string;

  private constructor(
    parts: Pick<
      Lab<N, A>,
      'dir' | 'api' | 'nodes' | 'settings' | 'settingsFile' | 'privateKeyFile' | keyof Services
    > & { children: Set<ChildProcess>; node: string },
  ) {
    this.dir = parts.dir;
    this.api = parts.api;
    this.nodes = parts.nodes;
    this.packages = parts.packages;
    this.prometheus = parts.prometheus;
    this.pushgateway = parts.pushgateway;
    this.slack = parts.slack;
    this.agentService = parts.agentService;
    this.settings = parts.settings;
    this.settingsFile = parts.settingsFile;
    this.privateKeyFile = parts.privateKeyFile;
    this.invariants = new Invariants(this.api, this.settings.annotationPrefix ?? 'viktorbarzin.me');
    this.#children = parts.children;
    this.#node = parts.node;
    this.api.view.subscribe(({ resource, object, before }) => {
      if (resource !== 'nodes') return;
      const [is, was] = [object, before].map(
        (node) => (node as Node | undefined)?.spec?.unschedulable ?? false,
      );
      if (is !== was) this.cordons.push({ node: object.metadata.name, unschedulable: is === true });
    });
  }

  /** A lab with the embedded API server and nodes of stub programs. */
  static start(options: LabOptions = {}): Promise<Lab> {
    return Lab.startOn(startLabApi, options);
  }

  /** A lab with another API server. */
  static startOn<A extends ApiServer>(
    startApi: StartApi<A>,
    options: LabOptions = {},
  ): Promise<Lab<LabNode, A>> {
    const specs = options.nodes ?? labNodes;
    return Lab.#assemble(options, { startApi, startNodes: (around) => startNodes(options, specs, around) });
  }

  /**
   * A lab with nodes of another kind on the embedded API server; their names, roles and addresses are
   * `options.nodes`.
   */
  static startWith<N extends Machine>(options: LabOptions, startNodes: StartNodes<N>): Promise<Lab<N>> {
    return Lab.#assemble(options, { startApi: startLabApi, startNodes });
  }

  static async #assemble<N extends Machine, A extends ApiServer>(
    options: LabOptions,
    parts: LabParts<N, A>,
  ): Promise<Lab<N, A>> {
    if (!existsSync(bundle)) throw new Error(`${bundle} is missing: npm run bundle`);
    const { release = defaultRelease, node = process.execPath } = options;
    const dir = await mkdtemp(join(tmpdir(), 'k8s-upgrade-lab-'));
    const token = crypto.randomUUID();
    const entrypoints = { 'registry.invalid/k8s-version-upgrade': [node, bundle] };
    const [api, services] = await Promise.all([
      parts.startApi({ dir: join(dir, 'api'), release, entrypoints }),
      startServices(options.published, token, (inputs) => lab.submit(inputs)),
    ]);
    const key = generateKeyPair();
    const clusterReady = seedCluster(api, { ...options, version: release });
    // A failure of the nodes is the one that is reported.
    clusterReady.catch(() => undefined);
    const lab: Lab<N, A> = await parts
      .startNodes({ dir, authorizedKey: key.publicKey, packages: services.packages.base, api })
      .then(async (nodes) => {
        await clusterReady;
        return Lab.#fill(options, { dir, api, nodes, node, token, key, services });
      })
      .catch(async (error) => {
        await api.stop();
        throw error;
      });
    return lab;
  }

  /** Puts into a cluster that runs what `scripts/tg apply` would, and gives the operator a copy. */
  static async #fill<N extends Machine, A extends ApiServer>(
    options: LabOptions,
    parts: Pick<Lab<N, A>, 'dir' | 'api' | 'nodes'> & {
      readonly node: string;
      readonly token: string;
      readonly key: { readonly privateKey: string; readonly publicKey: string };
      readonly services: Services;
    },
  ): Promise<Lab<N, A>> {
    const { dir, api, nodes, node, token, key, services } = parts;
    services.prometheus.apiServers = (options.nodes ?? labNodes)
      .filter((spec) => spec.role === 'control-plane')
      .map((spec) => `${spec.address}:6443`);
    const { settings: change = (base) => base } = options;
    const settings = labSettings({
      services,
      nodes,
      soak: options.pace === 'visible' ? '1s' : '200ms',
      change: (base) => change(api.settings(base)),
    });
    const credentials = {
      [credentialKeys.sshKey]: key.privateKey,
      [credentialKeys.sshKeyPub]: key.publicKey,
      [credentialKeys.slackWebhook]: services.slack.webhook,
      [credentialKeys.agentToken]: token,
    };
    await api.deploy(deployedObjects(settings));
    await api.apply([secretOf(credentials)]);
    const files = await writeFiles(join(dir, 'operator'), settings, credentials);
    await api.settled();
    return new Lab<N, A>({ dir, api, nodes, settings, ...services, ...files, children: new Set(), node });
  }

  /** @throws Error for a node that the lab has not. */
  node(name: string): N {
    const node = this.nodes.get(name);
    if (node === undefined) throw new Error(`no node ${name} in the lab`);
    return node;
  }

  /** Writes a kubeconfig of its own for each user. */
  async kubeconfig(user: UserRef = 'admin'): Promise<string> {
    const path = join(this.dir, `kubeconfig-${user === 'admin' ? 'admin' : user.serviceAccount}`);
    await writeFile(path, await this.api.kubeconfig(user), { mode: 0o600 });
    return path;
  }

  /** Runs the bundled program from outside the cluster. `onLine` gets each line of both streams at once. */
  async cli(
    args: readonly string[],
    options: { user?: UserRef; env?: Record<string, string>; onLine?: (line: string) => void } = {},
  ): Promise<CliResult> {
    const child = await this.spawnCli(args, options);
    const texts = { stdout: '', stderr: '' };
    for (const name of ['stdout', 'stderr'] as const) {
      const stream = child[name] as Readable;
      stream.on('data', (chunk: Buffer) => {
        texts[name] += chunk;
      });
      if (options.onLine) createInterface({ input: stream }).on('line', options.onLine);
    }
    const [code] = await once(child, 'close');
    return { exitCode: code ?? -1, ...texts };
  }

  async spawnCli(
    args: readonly string[],
    options: { user?: UserRef; env?: Record<string, string> } = {},
  ): Promise<ChildProcess> {
    const kubeconfig = await this.kubeconfig(options.user);
    const env = { PATH: process.env.PATH ?? '', HOME: this.dir, KUBECONFIG: kubeconfig, ...options.env };
    const all = [bundle, ...args, ...(args.includes('--settings') ? [] : ['--settings', this.settingsFile])];
    const child = spawn(this.#node, all, { env, stdio: ['ignore', 'pipe', 'pipe'] });
    this.#children.add(child);
    child.once('close', () => this.#children.delete(child));
    return child;
  }

  /** As `kubectl create job --from=cronjob/NAME` does. Resolves with the Job's name. */
  async createJobFrom(cronJob: string): Promise<string> {
    const batch = await this.#apiClient(BatchV1Api, 'admin');
    const { namespace } = objectNames;
    const template = (await batch.readNamespacedCronJob({ name: cronJob, namespace })).spec?.jobTemplate;
    const metadata = { name: `${cronJob}-${Date.now().toString(36)}`, ...template?.metadata };
    const body = { apiVersion: 'batch/v1', kind: 'Job', metadata, spec: template?.spec ?? { template: {} } };
    await batch.createNamespacedJob({ namespace, body });
    return metadata.name;
  }

  /**
   * The weekly detection, as the CronJob starts it. Its log goes to `log`.
   *
   * @returns its exit code.
   */
  async detect(): Promise<number> {
    const pod = await this.#endedPodOf(await this.createJobFrom(objectNames.detectionCronJob));
    for (const line of (await this.#logOf(pod)).split('\n').filter(Boolean)) this.#receive(line);
    return pod.status?.containerStatuses?.[0]?.state?.terminated?.exitCode ?? -1;
  }

  /**
   * What the agent's prompt says: read the settings from the cluster, then `k8s-upgrade submit`, with its own
   * account.
   */
  async submit(inputs: string): Promise<{ exitCode: number; output: string }> {
    const user = { namespace: objectNames.namespace, serviceAccount: objectNames.submitterServiceAccount };
    const onLine = (line: string) => this.#receive(line);
    const settings = join(this.dir, 'agent-settings.yaml');
    const { namespace, settings: name } = objectNames;
    const core = await this.#apiClient(CoreV1Api, user);
    const map = await core.readNamespacedConfigMap({ name, namespace });
    await writeFile(settings, map.data?.['settings.yaml'] ?? '');
    const args = ['submit', '--inputs', inputs, '--settings', settings];
    const { exitCode, stdout, stderr } = await this.cli(args, { user, onLine });
    return { exitCode, output: stdout + stderr };
  }

  /**
   * Resolves with the exit code once the agent has returned. @throws Error for a job that was not dispatched.
   */
  async agentJobEnd(id = ''): Promise<number> {
    for (;;) {
      const job = this.agentService.jobs.find((one) => one.id === id);
      if (job === undefined) throw new Error(`the agent service has no job "${id}": nothing was dispatched?`);
      if (job.exitCode !== undefined) return job.exitCode;
      await once(this.agentService.events, 'ended');
    }
  }

  /** Resolves with the Jobs of all runs when so many are complete, or as soon as one has failed. */
  async runEnd(count: number, timeout = 400_000): Promise<Job[]> {
    const ended = (type: string) => (job: Job) =>
      job.status?.conditions?.some((c) => c.type === type && c.status === 'True') === true;
    const deadline = Date.now() + timeout;
    for (;;) {
      const all = await this.#whileAway(() => this.api.list('jobs', objectNames.namespace));
      const jobs = (all ?? []).filter((job) => job.metadata.labels?.[jobLabels.run]);
      if (jobs.some(ended('Failed')) || jobs.filter(ended('Complete')).length === count) return jobs;
      if (Date.now() > deadline) throw new Error(`the run did not end: ${JSON.stringify(jobs)}`);
      await sleep(200);
    }
  }

  /**
   * What the Jobs of all runs said, one after the other, and which pods are not well. For a test's failure.
   */
  async story(): Promise<string> {
    const pods = await this.api.list('pods');
    const logs = pods.filter((pod) => pod.metadata.labels?.[jobLabels.run]).map((pod) => this.#logOf(pod));
    const unwell = pods.filter((pod) => !isReady(pod) && pod.status?.phase !== 'Succeeded');
    const described = unwell.map(({ metadata, spec, status }) => JSON.stringify({ metadata, spec, status }));
    return [...(await Promise.all(logs)), ...described].join('\n');
  }

  async #apiClient<T extends ApiType>(type: ApiConstructor<T>, user: UserRef): Promise<T> {
    const config = new KubeConfig();
    config.loadFromString(await this.api.kubeconfig(user));
    return config.makeApiClient(type);
  }

  #receive(line: string): void {
    try {
      const { event, msg } = JSON.parse(line) as { event?: RunEvent; msg: string };
      if (event) this.events.emit('run-event', event);
      else this.events.emit('log', msg);
    } catch {
      this.events.emit('log', line);
    }
  }

  /** The pod of a Job, once it has ended. */
  async #endedPodOf(job: string): Promise<Pod> {
    let found: Pod | undefined;
    await until(`the pod of ${job} has ended`, async () => {
      const pods = await this.#whileAway(() => this.api.list('pods', objectNames.namespace));
      found = pods?.find(
        (pod) => pod.metadata.labels?.['batch.kubernetes.io/job-name'] === job && isFinished(pod),
      );
      return found !== undefined;
    });
    return found as Pod;
  }

  /** Empty for a pod that has none. */
  async #logOf({ metadata: { name, namespace = '' } }: Pod): Promise<string> {
    const core = await this.#apiClient(CoreV1Api, 'admin');
    return core.readNamespacedPodLog({ name, namespace }).catch(() => '');
  }

  /** Undefined while the API server does not answer. */
  async #whileAway<T>(read: () => T | Promise<T>): Promise<T | undefined> {
    try {
      return await read();
    } catch {
      return undefined;
    }
  }

  /**
   * Stops everything, then checks the requests: until the API server has stopped, more may arrive.
   *
   * @throws Error when an invariant of every lab did not hold, or the requests cannot be read.
   */
  async stop(): Promise<void> {
    const closing = [...this.#children].map((child) => once(child, 'close'));
    for (const child of this.#children) child.kill('SIGKILL');
    await Promise.all(closing);
    await this.api.stop();
    const services = [this.packages, this.prometheus, this.pushgateway, this.slack, this.agentService];
    await Promise.all([...services, ...this.nodes.values()].map((part) => part.stop()));
    // A pod that was being started may still write its files.
    await rm(this.dir, { recursive: true, force: true, maxRetries: 5 });
    this.invariants.check(await this.api.requestLog());
    const { broken } = this.invariants;
    if (broken.length > 0) throw new Error(`it did not hold in the lab: ${broken.join('; ')}`);
  }
}
