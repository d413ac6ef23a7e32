import { setTimeout as sleep } from 'node:timers/promises';
import { annotationKeys, credentialKeys, jobLabels, objectNames } from '../../runtime/src/names.ts';
import type { SettingsInput } from '../../runtime/src/settings/settings.ts';
import { deploy, standIns } from '../conformance/deployment.ts';
import type { Job, KubeObject, Pod } from '../lab/api/types.ts';
import { Slack } from '../lab/services/slack.ts';
import { deployedObjects } from '../lab/stack.ts';
import { secretOf } from '../lab/surroundings.ts';
import { Monitoring } from '../monitoring/monitoring.ts';
import { type RuleGroup, rulesOfAnOldCluster } from '../monitoring/rules.ts';
import type { KubeadmCluster } from './cluster.ts';
import { RealExporter } from './exporter.ts';
import type { Node } from './node.ts';
import type { ImageArchive } from './product-image.ts';

/** Options of {@link Pipeline.deploy}. */
export interface PipelineOptions {
  readonly image: ImageArchive;
  /** Changes the settings. @default unchanged */
  readonly settings?: (base: SettingsInput) => SettingsInput;
}

const { namespace } = objectNames;
const jobsPath = `/apis/batch/v1/namespaces/${namespace}/jobs`;

/** The pipeline in a cluster, deployed as users deploy it, and the services around it. */
export class Pipeline {
  readonly cluster: KubeadmCluster;
  readonly monitoring: Monitoring;
  readonly slack: Slack;
  readonly settings: SettingsInput;
  readonly #exporter: RealExporter;

  private constructor(
    parts: Pick<Pipeline, 'cluster' | 'monitoring' | 'slack' | 'settings'> & { exporter: RealExporter },
  ) {
    this.cluster = parts.cluster;
    this.monitoring = parts.monitoring;
    this.slack = parts.slack;
    this.settings = parts.settings;
    this.#exporter = parts.exporter;
  }

  /** Resolves when everything is deployed and Prometheus has scraped every target. */
  static async deploy(cluster: KubeadmCluster, options: PipelineOptions): Promise<Pipeline> {
    const { image, settings: change = (base) => base } = options;
    const address = cluster.network.gateway;
    await Promise.all(cluster.nodes.map((node) => node.load(image.archive)));
    const exporter = await new RealExporter(address, cluster.rest).start();
    const slack = await new Slack({ address }).start();
    const monitoring = await Monitoring.start({
      address,
      scrapeInterval: '5s',
      evaluationInterval: '1s',
      // The cluster and its Prometheus have just been started, and the rules wait for up to half an hour.
      seemsOld: true,
    });
    const settings = change(settingsOf(cluster, monitoring));
    await deploy(cluster.rest, deployedObjects(settings, image.name) as unknown as KubeObject[], standIns());
    await cluster.rest.create([
      secretOf({
        [credentialKeys.sshKey]: cluster.sshKey.text,
        [credentialKeys.slackWebhook]: slack.webhook,
      }),
    ]);
    const groups: readonly RuleGroup[] = rulesOfAnOldCluster();
    const nodes = cluster.nodes.map(({ name }) => name);
    await monitoring.watch(groups, { cluster: new URL(exporter.url).host, nodes });
    return new Pipeline({ cluster, monitoring, slack, settings, exporter });
  }

  /** Starts a detection at once, from the CronJob's template. Resolves with the Job's name. */
  async detect(): Promise<string> {
    const name = `detection-${Date.now()}`;
    await this.cluster.kubectl(
      '--namespace',
      namespace,
      'create',
      'job',
      name,
      `--from=cronjob/${objectNames.detectionCronJob}`,
    );
    return name;
  }

  /** The Jobs of all runs, oldest first. */
  async jobs(): Promise<Job[]> {
    const { items } = await this.cluster.rest.get(
      `${jobsPath}?labelSelector=${encodeURIComponent(jobLabels.run)}`,
    );
    const created = ({ metadata }: Job) => Date.parse(metadata.creationTimestamp ?? '');
    return (items as Job[]).toSorted((a, b) => created(a) - created(b));
  }

  /** The pods of a Job, oldest first. */
  async podsOf(job: string): Promise<Pod[]> {
    const { items } = await this.cluster.rest.get(
      `/api/v1/namespaces/${namespace}/pods?labelSelector=job-name%3D${job}`,
    );
    return items;
  }

  /** Output of a pod's program, as far as the API has it. */
  logOf(pod: string): Promise<string> {
    return this.cluster.kubectl('--namespace', namespace, 'logs', pod).catch((error: Error) => error.message);
  }

  /**
   * Resolves when a rollout has been dispatched, every one of its Jobs has ended, and nothing is in flight.
   *
   * @param earlier names of the Jobs of runs before it.
   * @throws Error with the log of everything when a Job fails, or after 14 minutes.
   */
  async completed(earlier: readonly string[] = []): Promise<void> {
    await this.#ended('completed', async (jobs) => {
      const own = jobs.filter(({ metadata }) => !earlier.includes(metadata.name));
      const failed = own.find((job) => endOf(job) === 'Failed');
      if (failed !== undefined) throw new Error(`Job ${failed.metadata.name} failed:\n${await this.story()}`);
      const isComplete = own.length > 0 && own.every((job) => endOf(job) === 'Complete');
      return isComplete && !(await this.#isInFlight()) ? true : undefined;
    });
  }

  /**
   * Resolves with the Job of a run that has failed.
   *
   * @throws Error with the log of everything after 14 minutes.
   */
  failed(): Promise<Job> {
    return this.#ended('failed', async (jobs) => jobs.find((job) => endOf(job) === 'Failed'));
  }

  async #ended<T>(how: string, answer: (jobs: readonly Job[]) => Promise<T | undefined>): Promise<T> {
    for (const deadline = Date.now() + 840_000; ; await sleep(1000)) {
      // The API server goes and comes back in the meantime.
      const found = await answer(await this.jobs().catch(() => []));
      if (found !== undefined) return found;
      if (Date.now() > deadline) throw new Error(`not ${how} after 14 minutes:\n${await this.story()}`);
    }
  }

  /** When the last Job ended, Unix milliseconds in whole seconds. */
  async endedAt(): Promise<number> {
    const ends = (await this.jobs()).map(({ status }) => Date.parse(status?.completionTime ?? ''));
    return Math.max(...ends);
  }

  /** What every pod of the pipeline has printed, and its Jobs. */
  async story(): Promise<string> {
    const { items } = await this.cluster.rest
      .get(`/api/v1/namespaces/${namespace}/pods`)
      .catch(() => ({ items: [] }));
    const logs = await Promise.all(
      (items as Pod[]).map(
        async ({ metadata, status }) =>
          `== ${metadata.name} ${status?.phase}\n${await this.logOf(metadata.name)}`,
      ),
    );
    const jobs = await this.cluster
      .kubectl('--namespace', namespace, 'get', 'jobs,pods', '--output=wide')
      .catch(String);
    return [...logs, jobs].join('\n');
  }

  async #isInFlight(): Promise<boolean> {
    const { metadata } = await this.cluster.rest.get(`/api/v1/namespaces/${namespace}`);
    return metadata.annotations?.[annotationKeys('viktorbarzin.me').inFlight] !== undefined;
  }

  async stop(): Promise<void> {
    await this.monitoring.stop();
    await this.#exporter.stop();
    await this.slack.stop();
  }
}

const endOf = ({ status }: Job): string | undefined =>
  status?.conditions?.find(({ type, status }) => ['Complete', 'Failed'].includes(type) && status === 'True')
    ?.type;

const namesOf = (nodes: readonly Node[]): string[] | undefined =>
  nodes.length === 0 ? undefined : nodes.map(({ name }) => name);

/** As a user writes them for this cluster, with soaks that a test can wait for. */
const settingsOf = (cluster: KubeadmCluster, monitoring: Monitoring): SettingsInput => ({
  // A single-node cluster has no list of workers.
  nodes: {
    controlPlane: namesOf(cluster.nodes.filter(({ isControlPlane }) => isControlPlane)),
    workers: namesOf(cluster.nodes.filter(({ isControlPlane }) => !isControlPlane)),
  },
  ssh: { user: 'wizard', hostKeys: { policy: 'accept-new' } },
  packages: { repository: cluster.repository.base },
  prometheus: { url: monitoring.prometheusUrl },
  pushgateway: { url: monitoring.pushgatewayUrl },
  snapshot: { directory: '/var/backups/etcd' },
  // The nodes have just been booted.
  gates: { quietPeriod: '0s' },
  timing: { soak: '20s', controlPlaneSoak: '5s' },
  dispatch: { mode: 'job' },
});
