import { join } from 'node:path';
import { objectNames } from '../../runtime/src/names.ts';
import type { RunEvent } from '../../runtime/src/report/events.ts';
import type { SettingsInput } from '../../runtime/src/settings/settings.ts';
import { Lab } from '../lab/lab.ts';
import { Etcd } from './etcd.ts';
import { Host } from './host.ts';
import { install } from './installation.ts';
import { HostNetwork } from './network.ts';
import { DebRepository } from './repository.ts';
import { machine, run } from './shell.ts';
import { SigningKey } from './signing-key.ts';

/** Options of {@link startHostCluster}. */
export interface HostClusterOptions {
  /** Unique among the clusters of a test run; 0 to 255. */
  readonly number: number;
  /** Names of the hosts. @default k8s-master, k8s-node1 to 4 */
  readonly names?: readonly string[];
  /** Changes the settings. @default unchanged */
  readonly settings?: (base: SettingsInput) => SettingsInput;
}

/**
 * A lab whose nodes are hosts: everything below the API is real, except for the programs in the packages of
 * Kubernetes and containerd.
 */
export interface HostCluster {
  readonly lab: Lab<Host>;
  readonly network: HostNetwork;
  readonly repository: DebRepository;
  /** The key that signs the repository. */
  readonly key: SigningKey;
  /** etcd of the control plane. */
  readonly etcd: Etcd;
  /** Stops and removes everything. */
  stop(): Promise<void>;
}

const release = '1.34.2';
const containerd = '2.1.4';

/** Starts a cluster of hosts on which release 1.34.2 is installed. */
export async function startHostCluster(options: HostClusterOptions): Promise<HostCluster> {
  const { number, names = ['k8s-master', 'k8s-node1', 'k8s-node2', 'k8s-node3', 'k8s-node4'] } = options;
  const directory = join(machine.work, `cluster-${number}`);
  await run('mkdir', ['-p', directory]);
  const network = new HostNetwork(number);
  await network.create();
  const key = await SigningKey.create(join(directory, 'gnupg'));
  const repository = new DebRepository(network.gateway, join(directory, 'repository'), key);
  await repository.start();
  await Promise.all([
    repository.publish('1.34', [release, '1.34.5']),
    repository.publishContainerd([containerd, '2.1.5']),
  ]);
  const installation = await install({
    directory: join(directory, 'installation'),
    repository,
    key,
    release,
    containerd,
  });
  const specs = names.map((name, host) => ({
    name,
    role: name === 'k8s-master' ? ('control-plane' as const) : ('worker' as const),
    address: network.addressOf(host),
  }));
  const lab = await Lab.startWith(
    { release, nodes: specs, settings: settingsFor(repository, options) },
    async ({ authorizedKey, api }) => {
      const hosts = await Promise.all(
        specs.map(({ name, role }, host) =>
          Host.start({
            name,
            number: host,
            network,
            role: role === 'worker' ? role : 'master',
            installation,
            release,
            directory: join(directory, name),
            clusterDirectory: join(directory, 'shared'),
            authorizedKey,
            hooks: api.hooks(name),
          }),
        ),
      );
      return new Map(hosts.map((host) => [host.name, host]));
    },
  );
  const etcd = new Etcd(lab.node('k8s-master'));
  await etcd.ready();
  return {
    lab,
    network,
    repository,
    key,
    etcd,
    async stop() {
      await lab.stop();
      await repository.stop();
      await network.remove(names.length);
    },
  };
}

/** The lab's settings, with timeouts that suit a real installation on a busy machine. */
const settingsFor =
  (repository: DebRepository, { settings = (base) => base }: HostClusterOptions) =>
  (base: SettingsInput): SettingsInput =>
    settings({
      ...base,
      packages: { repository: repository.base },
      ssh: { ...base.ssh, connectTimeout: '15s', reconnectTimeout: '3m' },
      timing: { ...base.timing, script: '5m', nodeReady: '30s' },
    });

/** How a detection and the run that it dispatched ended. */
export interface Played {
  /** Exit code of the detection, then of the run, if it dispatched one. */
  readonly exitCodes: readonly number[];
  /** Output and events of all programs. */
  readonly log: string;
}

/** One detection with the detector's account, but not in a Job, so that it is not retried. */
export async function detect(lab: Lab<Host>): Promise<{ exitCode: number; log: string }> {
  const { namespace, detectorServiceAccount: serviceAccount } = objectNames;
  const { exitCode, stdout, stderr } = await lab.cli(['detect'], { user: { namespace, serviceAccount } });
  return { exitCode, log: stdout + stderr };
}

/** One detection as by the CronJob, and the run that it dispatches. */
export async function pipeline(lab: Lab<Host>): Promise<Played> {
  const lines: string[] = [];
  const listen = (line: string) => lines.push(line);
  const report = (event: RunEvent) => lines.push(JSON.stringify(event));
  lab.events.on('log', listen).on('run-event', report);
  const before = lab.agentService.jobs.length;
  const detection = await lab.detect();
  const dispatched = lab.agentService.jobs.slice(before);
  const runs = await Promise.all(dispatched.map((job) => lab.agentJobEnd(job.id)));
  lab.events.off('log', listen).off('run-event', report);
  return { exitCodes: [detection, ...runs], log: lines.join('\n') };
}
