import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { credentialKeys, objectNames } from '../../runtime/src/names.ts';
import type { SettingsInput } from '../../runtime/src/settings/settings.ts';
import type { UserRef } from '../lab/api/auth/tokens.ts';
import { Rest } from '../lab/api/contract/rest.ts';
import { isReady } from '../lab/api/controllers/pods.ts';
import type { Job, KubeObject, Pod } from '../lab/api/types.ts';
import { labNodes } from '../lab/cluster.ts';
import { controlPlaneImages, kubeSystem } from '../lab/cluster-system.ts';
import { workload } from '../lab/cluster-workload.ts';
import { bundle } from '../lab/lab.ts';
import { LabNode, type NodeHooks } from '../lab/nodes/node.ts';
import { generateKeyPair } from '../lab/nodes/ssh.ts';
import { AgentService } from '../lab/services/agent-service.ts';
import { PackageRepository } from '../lab/services/packages.ts';
import { Prometheus } from '../lab/services/prometheus.ts';
import { Pushgateway } from '../lab/services/pushgateway.ts';
import { Slack } from '../lab/services/slack.ts';
import { labSettings } from '../lab/settings.ts';
import { deploy } from './deployment.ts';
import { HollowNodes } from './hollow-nodes.ts';
import { PodSources } from './pod-sources.ts';
import { RealCluster } from './real-cluster.ts';

export interface RealLabOptions {
  /** Of every node and the API server at the start; `build.sh` has these servers. */
  readonly from: '1.34.3' | '1.33.9';
  /** What the nodes are upgraded to. @default that of go.mod */
  readonly to: string;
  readonly settings?: (base: SettingsInput) => SettingsInput;
}

export interface CliResult {
  readonly exitCode: number;
  readonly output: string;
}

const jobs = `/apis/batch/v1/namespaces/${objectNames.namespace}/jobs`;
const pods = `/api/v1/namespaces/${objectNames.namespace}/pods`;

/** A real API server takes longer for everything, and is away for as long as it takes to start. */
const patience = (base: SettingsInput): SettingsInput => ({
  ...base,
  // A pod of a StatefulSet comes again under its name. A busy disruption controller, which has not seen it gone, counts it
  // as the evicted one for two minutes more (DeletionTimeout in pkg/controller/disruption).
  drain: { ...base.drain, timeout: '3m' },
  timing: {
    ...base.timing,
    lease: '30s',
    nodeReady: '60s',
    apiOutage: '90s',
    apiRequest: '20s',
    unschedulable: '30s',
  },
});

/** The lab with a real control plane in the middle: its nodes and services, and the program, around it. */
export class RealLab {
  readonly cluster: RealCluster;
  readonly rest: Rest;
  readonly nodes = new Map<string, LabNode>();
  readonly packages = new PackageRepository();
  readonly prometheus = new Prometheus();
  readonly pushgateway = new Pushgateway();
  readonly slack = new Slack();
  readonly agentService: AgentService;
  readonly hollow: HollowNodes;
  readonly #sources: PodSources;
  readonly #options: RealLabOptions;
  readonly #token = crypto.randomUUID();
  #restart: Promise<void> = Promise.resolve();

  private constructor(cluster: RealCluster, token: string, options: RealLabOptions) {
    this.cluster = cluster;
    this.#options = options;
    this.rest = new Rest({ url: cluster.url, caPem: cluster.caPem, token });
    const program = { 'registry.invalid/k8s-version-upgrade': [process.execPath, bundle] };
    this.#sources = new PodSources(cluster, this.rest, program);
    this.hollow = new HollowNodes(this.rest, this.#sources);
    this.agentService = new AgentService({ token: this.#token, submit: (inputs) => this.submit(inputs) });
  }

  static async start(options: RealLabOptions): Promise<RealLab> {
    const cluster = await RealCluster.start({ version: options.from });
    const lab = new RealLab(cluster, await cluster.token('admin'), options);
    try {
      await lab.#fill();
    } catch (error) {
      await lab.stop();
      throw error;
    }
    return lab;
  }

  get #services() {
    return [this.packages, this.prometheus, this.pushgateway, this.slack, this.agentService];
  }

  async #fill(): Promise<void> {
    const { from, to } = this.#options;
    for (const release of [from, to]) this.packages.publish(release);
    await Promise.all(this.#services.map((service) => service.start()));
    const key = generateKeyPair();
    await this.#startNodes(key.publicKey);
    await Promise.all(
      labNodes.map(({ name, address, role }) => {
        const master = role === 'control-plane';
        const labels: Record<string, string> = master ? { 'node-role.kubernetes.io/control-plane': '' } : {};
        const taints = master ? [{ key: 'node-role.kubernetes.io/control-plane', effect: 'NoSchedule' }] : [];
        return this.hollow.add({ name, address, release: from, labels, taints });
      }),
    );
    await this.#seed();
    const services = { ...this, settings: undefined };
    const { settings: change = (base: SettingsInput) => base } = this.#options;
    const settings = labSettings({
      services,
      nodes: this.nodes,
      soak: '500ms',
      change: (base) => change(patience(base)),
    });
    await deploy(this.rest, settings, {
      [credentialKeys.sshKey]: key.privateKey,
      [credentialKeys.sshKeyPub]: key.publicKey,
      [credentialKeys.slackWebhook]: this.slack.webhook,
      [credentialKeys.agentToken]: this.#token,
    });
  }

  /** What kubeadm and people have put into the cluster, once all of it runs. */
  async #seed(): Promise<void> {
    const objects = [...kubeSystem(labNodes, this.#options.from), ...workload(labNodes)];
    const [namespaces, others] = [true, false].map((wanted) =>
      objects.filter(({ kind }) => (kind === 'Namespace') === wanted),
    );
    await this.rest.create(namespaces ?? []);
    await this.rest.eventually(
      '/api/v1/namespaces/apps/serviceaccounts/default',
      (found) => found !== undefined,
    );
    await this.rest.create((others ?? []).map(asSent));
    const settled = ({ status }: Pod) => status?.phase === 'Running' || status?.phase === 'Succeeded';
    await this.rest.eventually(
      '/api/v1/pods',
      ({ items }) => items.length > 30 && items.every(settled),
      60_000,
    );
    await this.rest.eventually('/apis/policy/v1/poddisruptionbudgets', ({ items }) =>
      items.every(
        (one: { status?: { disruptionsAllowed?: number } }) => (one.status?.disruptionsAllowed ?? 0) > 0,
      ),
    );
  }

  async #startNodes(authorizedKey: string): Promise<void> {
    for (let attempt = 1; ; attempt += 1) {
      const directory = join(this.cluster.dir, `nodes-${attempt}`);
      await mkdir(directory);
      try {
        for (const spec of labNodes) await this.#startNode(spec, directory, authorizedKey);
        return;
      } catch (error) {
        await Promise.all([...this.nodes.values()].map((node) => node.stop()));
        this.nodes.clear();
        // All nodes listen on the same port, each on its own address; somebody else may have it on one of them.
        if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE' || attempt === 10) throw error;
      }
    }
  }

  async #startNode(spec: (typeof labNodes)[number], directory: string, authorizedKey: string): Promise<void> {
    const { name, address, role } = spec;
    const node = await LabNode.start({
      name,
      address,
      dir: join(directory, name),
      clusterDir: join(directory, 'cluster'),
      role: role === 'control-plane' ? 'master' : 'worker',
      port: [...this.nodes.values()][0]?.port ?? 0,
      release: this.#options.from,
      containerd: '2.1.4',
      authorizedKey,
      packages: this.packages.base,
      hooks: this.#hooks(name),
    });
    this.nodes.set(name, node);
    for (const work of ['apt-update', 'apt-install', 'kubeadm'] as const) node.setDuration(work, 0);
  }

  #hooks(name: string): NodeHooks {
    const logFailure = (work: Promise<unknown>) =>
      void work.catch((error) => console.error(`hooks of ${name}:`, error));
    return {
      onKubeletRestart: (release, containerd) => logFailure(this.hollow.restarted(name, release, containerd)),
      onContainerd: (version) =>
        logFailure(this.hollow.report(name, { containerRuntimeVersion: `containerd://${version}` })),
      onControlPlaneUpgraded: (release) => logFailure(this.#replaceControlPlane(name, release)),
    };
  }

  /** The static pods' manifests have changed: the API server goes and comes back as another release. */
  async #replaceControlPlane(node: string, release: string): Promise<void> {
    this.#restart = this.cluster.restartServer(release === this.#options.to ? undefined : release);
    await this.#restart;
    for (const [component, image] of controlPlaneImages(release)) {
      const containers = [{ name: component, image }];
      const path = `/api/v1/namespaces/kube-system/pods/${component}-${node}`;
      await this.rest.patch(path, { spec: { containers } }, 'strategic');
    }
  }

  /** The bundled program outside the cluster, as `user`. Settings are the cluster's. */
  async cli(args: readonly string[], user: UserRef = 'admin'): Promise<CliResult> {
    const who = user === 'admin' ? user : user.serviceAccount;
    const kubeconfig = join(this.cluster.dir, `${who}-${crypto.randomUUID()}.kubeconfig`);
    await writeFile(kubeconfig, await this.cluster.kubeconfig(user), { mode: 0o600 });
    const rest =
      user === 'admin' ? this.rest : new Rest({ ...this.cluster, token: await this.cluster.token(user) });
    const { namespace, settings } = objectNames;
    const map = await rest.get(`/api/v1/namespaces/${namespace}/configmaps/${settings}`);
    const file = `${kubeconfig}.settings.yaml`;
    await writeFile(file, map.data['settings.yaml']);
    const env = { PATH: process.env.PATH ?? '', HOME: this.cluster.dir, KUBECONFIG: kubeconfig };
    const child = spawn(process.execPath, [bundle, ...args, '--settings', file], {
      env,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let output = '';
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (chunk: Buffer) => {
        output += chunk;
      });
    const [exitCode] = await once(child, 'close');
    return { exitCode: exitCode ?? -1, output };
  }

  /** As the agent does, with its own account. */
  submit(inputs: string): Promise<CliResult> {
    return this.cli(['submit', '--inputs', inputs], agent);
  }

  /** The weekly detection, as the CronJob starts it. Resolves with its pod's exit code and log. */
  async detect(): Promise<CliResult> {
    const cronJob = await this.rest.get(
      `/apis/batch/v1/namespaces/${objectNames.namespace}/cronjobs/${objectNames.detectionCronJob}`,
    );
    const metadata = { generateName: 'detect-', ...cronJob.spec.jobTemplate.metadata };
    const made: Job = await this.rest.ok('POST', jobs, { metadata, spec: cronJob.spec.jobTemplate.spec });
    const query = `${pods}?labelSelector=job-name%3D${made.metadata.name}`;
    const ended = ({ status }: Pod) => status?.phase === 'Succeeded' || status?.phase === 'Failed';
    const { items } = await this.rest.eventually(query, (list) => list.items.some(ended), 120_000);
    const [pod] = items as Pod[];
    const exitCode = pod?.status?.containerStatuses?.[0]?.state?.terminated?.exitCode ?? -1;
    return { exitCode, output: await this.rest.get(`${pods}/${pod?.metadata.name}/log`) };
  }

  /** Resolves with the Jobs of all runs when so many are complete, or as soon as one has failed. */
  async runEnd(count: number, timeout = 400_000): Promise<Job[]> {
    const query = `${jobs}?labelSelector=k8s-upgrade%2Frun`;
    const ended = (type: string) => (job: Job) =>
      job.status?.conditions?.some((c) => c.type === type && c.status === 'True') === true;
    const deadline = Date.now() + timeout;
    for (;;) {
      const { items } = await this.rest.get(query).catch(() => ({ items: [] }));
      const jobs = items as Job[];
      if (jobs.some(ended('Failed')) || jobs.filter(ended('Complete')).length === count) return jobs;
      if (Date.now() > deadline) throw new Error(`the run did not end: ${JSON.stringify(jobs)}`);
      await sleep(200);
    }
  }

  /** What the Jobs said, one after the other, and which pods are not well. For a test's failure. */
  async story(): Promise<string> {
    const { items } = await this.rest.get(`${pods}?labelSelector=k8s-upgrade%2Frun`);
    const logs = (items as Pod[]).map(({ metadata: { name } }) =>
      this.rest.send('GET', `${pods}/${name}/log`),
    );
    const logFailure = (await Promise.all(logs)).map(({ body }) => String(body));
    const all = (await this.rest.get('/api/v1/pods')).items as Pod[];
    const unwell = all.filter((pod) => !isReady(pod) && pod.status?.phase !== 'Succeeded');
    return [
      ...logFailure,
      ...unwell.map(({ metadata, spec, status }) => JSON.stringify({ metadata, spec, status })),
    ].join('\n');
  }

  async stop(): Promise<void> {
    await this.#restart.catch(() => undefined);
    this.hollow.stop();
    await this.#sources.runner.stop();
    await Promise.all([...this.#services, ...this.nodes.values()].map((part) => part.stop()));
    await this.cluster.stop();
  }
}

const agent = { namespace: objectNames.namespace, serviceAccount: objectNames.submitterServiceAccount };

/** What a client may say: not when it was made, and of a pod not how it is. */
function asSent({ status: _, ...object }: KubeObject): KubeObject {
  const { creationTimestamp: __, uid: ___, ...metadata } = object.metadata ?? {};
  return { ...object, metadata };
}
