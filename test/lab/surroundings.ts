import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { stringify as toYaml } from 'yaml';
import { credentialKeys, objectNames } from '../../runtime/src/names.ts';
import type { SettingsInput } from '../../runtime/src/settings/settings.ts';
import type { KubeObject } from './api/types.ts';
import type { ApiServer } from './api-server.ts';
import { containerdOf } from './cluster.ts';
import type { LabNodeSpec, Machine } from './machine.ts';
import { LabNode } from './nodes/node.ts';
import { AgentService } from './services/agent-service.ts';
import { PackageRepository } from './services/packages.ts';
import { Prometheus } from './services/prometheus.ts';
import { Pushgateway } from './services/pushgateway.ts';
import { Slack } from './services/slack.ts';

export const defaultRelease = '1.34.2';

/** What the cluster's programs and the pipeline talk to, apart from the API server. */
export interface Services {
  readonly packages: PackageRepository;
  readonly prometheus: Prometheus;
  readonly pushgateway: Pushgateway;
  readonly slack: Slack;
  readonly agentService: AgentService;
}

export async function startServices(
  published: readonly string[] = [defaultRelease, '1.34.5'],
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
  for (const release of published) services.packages.publish(release);
  await Promise.all(Object.values(services).map((service) => service.start()));
  return services;
}

/** What a node is started among. */
export interface Surroundings {
  /** Scratch directory of the lab. */
  readonly dir: string;
  /** The key that may log in. */
  readonly authorizedKey: string;
  /** Base URL of the lab's package repository, ending in `/`. */
  readonly packages: string;
  readonly api: ApiServer;
}

/** Starts the nodes of a lab. Returns them by name. */
export type StartNodes<N extends Machine> = (surroundings: Surroundings) => Promise<ReadonlyMap<string, N>>;

interface NodeOptions {
  readonly release?: string;
  readonly releases?: Readonly<Record<string, string>>;
  readonly containerd?: Readonly<Record<string, string>>;
  readonly pace?: 'visible' | 'brisk';
}

/** All nodes listen on the same port, each on its own address; another lab may have it on one of them. */
export async function startNodes(
  options: NodeOptions,
  specs: readonly LabNodeSpec[],
  shared: Surroundings,
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
  options: NodeOptions,
  spec: LabNodeSpec,
  shared: Surroundings & { readonly port: number },
): Promise<LabNode> {
  const { name, address } = spec;
  return LabNode.start({
    name,
    address,
    dir: join(shared.dir, name),
    clusterDir: join(shared.dir, 'cluster'),
    role: spec.role === 'control-plane' ? 'master' : 'worker',
    port: shared.port,
    release: options.releases?.[name] ?? options.release ?? defaultRelease,
    containerd: containerdOf(name, options.containerd),
    authorizedKey: shared.authorizedKey,
    packages: shared.packages,
    hooks: shared.api.hooks(name),
  });
}

/** The Secret that the External Secrets operator would make. */
export function secretOf(credentials: Readonly<Record<string, string>>): KubeObject {
  const metadata = { name: objectNames.credentials, namespace: objectNames.namespace };
  const data = Object.fromEntries(
    Object.entries(credentials).map(([k, v]) => [k, Buffer.from(v).toString('base64')]),
  );
  return { apiVersion: 'v1', kind: 'Secret', metadata, type: 'Opaque', data };
}

/** The same settings and secrets for a person at this machine. */
export async function writeFiles(
  dir: string,
  settings: SettingsInput,
  credentials: Record<string, string>,
): Promise<{ readonly settingsFile: string; readonly privateKeyFile: string }> {
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
