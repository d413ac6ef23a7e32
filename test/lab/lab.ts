import { type ChildProcess, spawn } from 'node:child_process';
import { EventEmitter, once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  type ApiConstructor,
  type ApiType,
  BatchV1Api,
  CoreV1Api,
  KubeConfig,
} from '@kubernetes/client-node';
import { stringify as toYaml } from 'yaml';
import { credentialKeys, objectNames } from '../../runtime/src/names.ts';
import type { RunEvent } from '../../runtime/src/report/events.ts';
import type { SettingsInput } from '../../runtime/src/settings/settings.ts';
import type { KubeObject, Node, Pod, UserRef } from './api/index.ts';
import { LabApi } from './api/index.ts';
import { containerdOf, labNodes, seedCluster } from './cluster.ts';
import type { ClusterNode, LabNodeSpec } from './cluster-node.ts';
import { Invariants } from './invariants.ts';
import { connectNode } from './kubelet-hooks.ts';
import { LabNode } from './nodes/node.ts';
import { generateKeyPair } from './nodes/ssh.ts';
import { AgentService } from './services/agent-service.ts';
import { PackageRepository } from './services/packages.ts';
import { Prometheus } from './services/prometheus.ts';
import { Pushgateway } from './services/pushgateway.ts';
import { Slack } from './services/slack.ts';
import { labSettings } from './settings.ts';
import { labObjects } from './stack.ts';

export const bundle = fileURLToPath(new URL('../../runtime/dist/k8s-upgrade.cjs', import.meta.url));

/** Starts the nodes of a lab. Gives them by name. */
export type StartNodes<N extends ClusterNode> = (surroundings: {
  /** Scratch directory of the lab. */
  readonly dir: string;
  /** The key that may log in. */
  readonly authorizedKey: string;
  /** Base URL of the lab's package repository, ending in `/`. */
  readonly packages: string;
  readonly api: LabApi;
}) => Promise<ReadonlyMap<string, N>>;

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
 * The whole lab: a cluster, its nodes and the services around it, each reached over its real protocol. Holds what
 * `scripts/tg apply` would deploy with the lab's settings.
 */
export class Lab<N extends ClusterNode = LabNode> {
  readonly dir: string;
  readonly api: LabApi;
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
  /** `run-event` with what the Jobs of a run report, as it arrives in their log; `log` with every other line. */
  readonly events = new EventEmitter<{ 'run-event': [RunEvent]; log: [string] }>();
  /** Every change of a node's `spec.unschedulable`, in order. */
  readonly cordons: { readonly node: string; readonly unschedulable: boolean }[] = [];
  readonly invariants: Invariants;
  readonly #children: Set<ChildProcess>;
  readonly #node: string;

  private constructor(
    parts: Pick<
      Lab<N>,
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
    this.api.store.subscribe(({ resource, object, before }) => {
      if (resource !== 'nodes') return;
      const [is, was] = [object, before].map(
        (node) => (node as Node | undefined)?.spec?.unschedulable ?? false,
      );
      if (is !== was) this.cordons.push({ node: object.metadata.name, unschedulable: is === true });
    });
  }

  static start(options: LabOptions = {}): Promise<Lab> {
    return Lab.startWith(options, (around) => startNodes(options, options.nodes ?? labNodes, around));
  }

  /** A lab with nodes of another kind, whose names, roles and addresses are `options.nodes`. */
  static async startWith<N extends ClusterNode>(
    options: LabOptions,
    startNodes: StartNodes<N>,
  ): Promise<Lab<N>> {
    if (!existsSync(bundle)) throw new Error(`${bundle} is missing: npm run bundle`);
    const { release = '1.34.2', nodes: specs = labNodes, node = process.execPath } = options;
    const dir = await mkdtemp(join(tmpdir(), 'k8s-upgrade-lab-'));
    const key = generateKeyPair();
    const token = crypto.randomUUID();
    const children = new Set<ChildProcess>();
    const [api, services] = await Promise.all([
      LabApi.start({
        dir: join(dir, 'api'),
        version: release,
        entrypoints: { 'registry.invalid/k8s-version-upgrade': [node, bundle] },
      }),
      startServices(options, token, (inputs) => lab.submit(inputs)),
    ]);
    const clusterReady = seedCluster(api, {
      nodes: specs,
      version: release,
      containerd: options.containerd,
    });
    const packages = services.packages.base;
    const nodes = await startNodes({ dir, authorizedKey: key.publicKey, packages, api });
    await clusterReady;
    services.prometheus.apiServers = specs
      .filter((spec) => spec.role === 'control-plane')
      .map((spec) => `${spec.address}:6443`);
    const settings = labSettings({
      services,
      nodes,
      soak: options.pace === 'visible' ? '1s' : '200ms',
      ...(options.settings && { change: options.settings }),
    });
    const credentials = {
      [credentialKeys.sshKey]: key.privateKey,
      [credentialKeys.sshKeyPub]: key.publicKey,
      [credentialKeys.slackWebhook]: services.slack.webhook,
      [credentialKeys.agentToken]: token,
    };
    deploy(api, settings, credentials);
    const files = await writeFiles(join(dir, 'operator'), settings, credentials);
    for (const spec of specs) {
      const own = options.releases?.[spec.name];
      if (own !== undefined) reportRelease(api, spec.name, own);
    }
    const lab: Lab<N> = new Lab({ dir, api, nodes, settings, ...services, ...files, children, node });
    await lab.api.settled();
    return lab;
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
    await this.api.writeKubeconfig(path, user);
    return path;
  }

  /** Runs the bundled program from outside the cluster. */
  async cli(
    args: readonly string[],
    options: { user?: UserRef; env?: Record<string, string>; onLine?: (line: string) => void } = {},
  ): Promise<CliResult> {
    const child = await this.spawnCli(args, options);
    let stdout = '';
    let stderr = '';
    let rest = '';
    child.stdout?.on('data', (chunk: Buffer) => {
      stdout += chunk;
      const lines = (rest + chunk).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) options.onLine?.(line);
    });
    child.stderr?.on('data', (chunk: Buffer) => {
      stderr += chunk;
    });
    const [code] = await once(child, 'close');
    return { exitCode: code ?? -1, stdout, stderr };
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
    const batch = this.#apiClient(BatchV1Api, 'admin');
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
    const pod = await this.#podOf(await this.createJobFrom(objectNames.detectionCronJob));
    const log = this.api.runner.log(pod, pod.spec?.containers[0]?.name ?? '');
    for (const line of (log?.text() ?? '').split('\n').filter(Boolean)) this.#receive(line);
    return pod.status?.containerStatuses?.[0]?.state?.terminated?.exitCode ?? -1;
  }

  /** What the agent's prompt says: read the settings from the cluster, then `k8s-upgrade submit`, with its own account. */
  async submit(inputs: string): Promise<{ exitCode: number; output: string }> {
    const user = { namespace: objectNames.namespace, serviceAccount: objectNames.submitterServiceAccount };
    const onLine = (line: string) => this.#receive(line);
    const settings = join(this.dir, 'agent-settings.yaml');
    const { namespace, settings: name } = objectNames;
    const map = await this.#apiClient(CoreV1Api, user).readNamespacedConfigMap({ name, namespace });
    await writeFile(settings, map.data?.['settings.yaml'] ?? '');
    const args = ['submit', '--inputs', inputs, '--settings', settings];
    const { exitCode, stdout, stderr } = await this.cli(args, { user, onLine });
    if (stderr) this.events.emit('log', stderr.trimEnd());
    return { exitCode, output: stdout + stderr };
  }

  /** Resolves with the exit code once the agent has returned. @throws Error for a job that was not dispatched. */
  async agentJobEnd(id = ''): Promise<number> {
    for (;;) {
      const job = this.agentService.jobs.find((one) => one.id === id);
      if (job === undefined) throw new Error(`the agent service has no job "${id}": nothing was dispatched?`);
      if (job.exitCode !== undefined) return job.exitCode;
      await once(this.agentService.events, 'ended');
    }
  }

  #apiClient<T extends ApiType>(type: ApiConstructor<T>, user: UserRef): T {
    const config = new KubeConfig();
    config.loadFromString(this.api.kubeconfig(user));
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
  #podOf(job: string): Promise<Pod> {
    return new Promise((resolve) => {
      const ended = (pod: Pod) =>
        pod.metadata.labels?.['batch.kubernetes.io/job-name'] === job &&
        (pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed');
      const unsubscribe = this.api.store.subscribe(({ resource, object }) => {
        if (resource !== 'pods' || !ended(object as Pod)) return;
        unsubscribe();
        resolve(object as Pod);
      });
      const already = this.api.store.list('pods').find(ended);
      if (already) {
        unsubscribe();
        resolve(already);
      }
    });
  }

  /** @throws Error when an invariant of every lab did not hold. */
  async stop(): Promise<void> {
    const closing = [...this.#children].map((child) => once(child, 'close'));
    for (const child of this.#children) child.kill('SIGKILL');
    await Promise.all(closing);
    await this.api.stop();
    const services = [this.packages, this.prometheus, this.pushgateway, this.slack, this.agentService];
    await Promise.all([...services, ...this.nodes.values()].map((part) => part.stop()));
    // A pod that was being started may still write its files.
    await rm(this.dir, { recursive: true, force: true, maxRetries: 5 });
    const { broken } = this.invariants;
    if (broken.length > 0) throw new Error(`it did not hold in the lab: ${broken.join('; ')}`);
  }
}

interface Services {
  readonly packages: PackageRepository;
  readonly prometheus: Prometheus;
  readonly pushgateway: Pushgateway;
  readonly slack: Slack;
  readonly agentService: AgentService;
}

async function startServices(
  options: LabOptions,
  token: string,
  submit: (inputs: string) => Promise<{ exitCode: number; output: string }>,
): Promise<Services> {
  const services = {
    packages: new PackageRepository(),
    prometheus: new Prometheus(),
    pushgateway: new Pushgateway(),
    slack: new Slack(),
    agentService: new AgentService({ token, submit }),
  };
  for (const release of options.published ?? ['1.34.2', '1.34.5']) services.packages.publish(release);
  await Promise.all(Object.values(services).map((service) => service.start()));
  return services;
}

/** All nodes listen on the same port, each on its own address; another lab may have it on one of them. */
async function startNodes(
  options: LabOptions,
  specs: readonly LabNodeSpec[],
  shared: { dir: string; authorizedKey: string; packages: string; api: LabApi },
): Promise<Map<string, LabNode>> {
  for (let attempt = 1; ; attempt += 1) {
    const nodes = new Map<string, LabNode>();
    const directory = join(shared.dir, `nodes-${attempt}`);
    await mkdir(directory);
    try {
      for (const spec of specs) {
        const port = [...nodes.values()][0]?.port ?? 0;
        const node = await startNode(options, spec, { ...shared, dir: directory, port });
        nodes.set(spec.name, node);
        if (options.pace === 'visible') continue;
        for (const work of ['apt-update', 'apt-install', 'kubeadm'] as const) node.setDuration(work, 0);
      }
      return nodes;
    } catch (error) {
      await Promise.all([...nodes.values()].map((node) => node.stop()));
      if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE' || attempt === 10) throw error;
    }
  }
}

function startNode(
  options: LabOptions,
  spec: LabNodeSpec,
  shared: { dir: string; authorizedKey: string; packages: string; api: LabApi; port: number },
): Promise<LabNode> {
  const { name, address } = spec;
  return LabNode.start({
    name,
    address,
    dir: join(shared.dir, name),
    clusterDir: join(shared.dir, 'cluster'),
    role: spec.role === 'control-plane' ? 'master' : 'worker',
    port: shared.port,
    release: options.releases?.[name] ?? options.release ?? '1.34.2',
    containerd: containerdOf(name, options.containerd),
    authorizedKey: shared.authorizedKey,
    packages: shared.packages,
    hooks: connectNode(shared.api, name),
  });
}

function reportRelease(api: LabApi, node: string, release: string): void {
  connectNode(api, node).onKubeletRestart?.(release, '');
}

/** The synthesized objects and, as External Secrets would, the Secret. */
function deploy(api: LabApi, settings: SettingsInput, credentials: Record<string, string>): void {
  const objects = labObjects(settings) as unknown as KubeObject[];
  // Terraform knows from references what must be there first; here that is the namespace.
  api.apply(objects.sort((a, b) => Number(b.kind === 'Namespace') - Number(a.kind === 'Namespace')));
  const metadata = { name: objectNames.credentials, namespace: objectNames.namespace };
  const data = Object.fromEntries(
    Object.entries(credentials).map(([k, v]) => [k, Buffer.from(v).toString('base64')]),
  );
  api.apply([{ apiVersion: 'v1', kind: 'Secret', metadata, type: 'Opaque', data }]);
}

/** The same settings and secrets for a person at this machine. */
async function writeFiles(
  dir: string,
  settings: SettingsInput,
  credentials: Record<string, string>,
): Promise<Pick<Lab, 'settingsFile' | 'privateKeyFile'>> {
  await mkdir(dir);
  const fileOf = (key: string) => join(dir, key);
  for (const [key, value] of Object.entries(credentials))
    await writeFile(fileOf(key), value, { mode: 0o600 });
  const settingsFile = join(dir, 'settings.yaml');
  const local: SettingsInput = {
    ...settings,
    ssh: { ...settings.ssh, privateKeyFile: fileOf(credentialKeys.sshKey) },
    slack: { ...settings.slack, webhookFile: fileOf(credentialKeys.slackWebhook) },
    dispatch: {
      ...settings.dispatch,
      agentService: { ...settings.dispatch?.agentService, tokenFile: fileOf(credentialKeys.agentToken) },
    },
  };
  await writeFile(settingsFile, toYaml(local));
  return { settingsFile, privateKeyFile: fileOf(credentialKeys.sshKey) };
}
