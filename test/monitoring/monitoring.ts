import { spawnSync } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { Program, until } from '../conformance/program.ts';
import { OldPrometheus } from './old-prometheus.ts';
import type { RuleGroup } from './rules.ts';

/** The programs that are missing on this machine. */
export const missingPrograms = (): string[] =>
  ['prometheus', 'prometheus-pushgateway', 'prometheus-alertmanager'].filter(
    (program) => spawnSync(program, ['--version']).error !== undefined,
  );

/** What Prometheus scrapes in the cluster. */
export interface Targets {
  /** `host:port` of the exporter: {@link LabExporter} or that of a real cluster. */
  readonly cluster: string;
  /** Names of the nodes. */
  readonly nodes: readonly string[];
}

/** Options of {@link Monitoring.start}. */
export interface MonitoringOptions {
  /**
   * Address to listen on; the ports are the usual ones.
   * @default a random loopback address, so that no other server can take these ports before they are bound
   */
  readonly address?: string;
  /**
   * Also the timeout of a scrape, which must be long: the exporter runs in the test's busy process.
   * @default 1s
   */
  readonly scrapeInterval?: string;
  /** @default 250ms */
  readonly evaluationInterval?: string;
  /** Whether Prometheus says that it has been up for a day, enough for each `for`. @default false */
  readonly seemsOld?: boolean;
}

const randomAddress = (): string => `127.${randomInt(16, 255)}.${randomInt(256)}.${randomInt(1, 255)}`;

/**
 * Prometheus' configuration, with the chart's job names. The targets in the cluster are in `targets.json`.
 */
const configuration = (
  pushgateway: string,
  alertmanager: string,
  { scrapeInterval = '1s', evaluationInterval = '250ms' }: MonitoringOptions,
) => ({
  global: {
    scrape_interval: scrapeInterval,
    scrape_timeout: scrapeInterval,
    evaluation_interval: evaluationInterval,
  },
  rule_files: ['rules.yml'],
  alerting: { alertmanagers: [{ static_configs: [{ targets: [alertmanager] }] }] },
  scrape_configs: [
    { job_name: 'prometheus-pushgateway', honor_labels: true, static_configs: [{ targets: [pushgateway] }] },
    ...['kubernetes-apiservers', 'kubernetes-nodes', 'kubernetes-service-endpoints'].map((job) => ({
      job_name: job,
      honor_labels: true,
      file_sd_configs: [{ files: ['targets.json'], refresh_interval: '1s' }],
      relabel_configs: [
        { source_labels: ['for_job'], regex: job, action: 'keep' },
        { regex: 'for_job', action: 'labeldrop' },
      ],
    })),
  ],
});

/** Targets in the format of file-based discovery. A kubelet's instance is the name of its node. */
function discovered({ cluster, nodes }: Targets): object[] {
  const at = (job: string, path: string, labels = {}) => ({
    targets: [cluster],
    labels: { for_job: job, __metrics_path__: path, ...labels },
  });
  return [
    at('kubernetes-apiservers', '/apiserver'),
    at('kubernetes-service-endpoints', '/state'),
    ...nodes.map((node) => at('kubernetes-nodes', `/kubelet/${node}`, { instance: node })),
  ];
}

/** Debian's Prometheus, Pushgateway and Alertmanager. */
export class Monitoring {
  readonly prometheusUrl: string;
  readonly pushgatewayUrl: string;
  readonly alertmanagerUrl: string;
  readonly #dir: string;
  readonly #programs: readonly Program[];
  readonly #front: OldPrometheus | undefined;

  private constructor(
    dir: string,
    urls: readonly string[],
    programs: readonly Program[],
    front: OldPrometheus | undefined,
  ) {
    [this.prometheusUrl = '', this.pushgatewayUrl = '', this.alertmanagerUrl = ''] = urls;
    this.#dir = dir;
    this.#programs = programs;
    this.#front = front;
  }

  static async start(options: MonitoringOptions = {}): Promise<Monitoring> {
    const dir = await mkdtemp(join(tmpdir(), 'k8s-upgrade-monitoring-'));
    const { address = randomAddress(), seemsOld = false } = options;
    const ports = [seemsOld ? 9092 : 9090, 9091, 9093];
    const [prometheus, pushgateway, alertmanager] = ports.map((port) => `${address}:${port}`);
    await writeFile(
      join(dir, 'alertmanager.yml'),
      stringify({ route: { receiver: 'none' }, receivers: [{ name: 'none' }] }),
    );
    await writeFile(
      join(dir, 'prometheus.yml'),
      stringify(configuration(pushgateway ?? '', alertmanager ?? '', options)),
    );
    await writeFile(join(dir, 'rules.yml'), stringify({ groups: [] }));
    const programs = [
      new Program(
        'prometheus',
        [
          '--config.file=prometheus.yml',
          '--storage.tsdb.path=data',
          `--web.listen-address=${prometheus}`,
          '--web.enable-lifecycle',
          // Resend alerts to Alertmanager this often; it considers an alert ended when it is not resent.
          '--rules.alert.resend-delay=1s',
        ],
        dir,
      ),
      new Program(
        'prometheus-pushgateway',
        [
          `--web.listen-address=${pushgateway}`,
          // Debian's default is a file below /var/lib, which the next start would read again.
          '--persistence.file=',
        ],
        dir,
      ),
      new Program(
        'prometheus-alertmanager',
        [
          '--config.file=alertmanager.yml',
          '--storage.path=alertmanager',
          `--web.listen-address=${alertmanager}`,
          '--cluster.listen-address=',
        ],
        dir,
      ),
    ];
    const front = seemsOld
      ? await new OldPrometheus(`http://${prometheus}`, { address, port: 9090 }).start()
      : undefined;
    const urls = [`${address}:9090`, pushgateway, alertmanager].map((address) => `http://${address}`);
    for (const url of urls) await until(url, programs, async () => (await fetch(`${url}/-/ready`)).ok);
    return new Monitoring(dir, urls, programs, front);
  }

  /**
   * Scrapes these targets and evaluates these rules from now on. Resolves when every target has been scraped:
   * Prometheus applies discovered targets only every five seconds, and until then there are no series for
   * alerts.
   *
   * @param targets without them only the Pushgateway is scraped.
   */
  async watch(groups: readonly RuleGroup[], targets?: Targets): Promise<void> {
    const wanted = targets === undefined ? [] : discovered(targets);
    await writeFile(join(this.#dir, 'rules.yml'), stringify({ groups }));
    await writeFile(join(this.#dir, 'targets.json'), JSON.stringify(wanted));
    await fetch(`${this.prometheusUrl}/-/reload`, { method: 'POST' });
    await until('every target of Prometheus', this.#programs, async () => {
      const [up] = await this.query('sum(up)');
      // One more for the Pushgateway.
      return up?.value === wanted.length + 1;
    });
  }

  /** Result of an instant query. */
  async query(query: string): Promise<{ metric: Record<string, string>; value: number }[]> {
    const answer = await fetch(`${this.prometheusUrl}/api/v1/query?${new URLSearchParams({ query })}`);
    const { data } = (await answer.json()) as {
      data: { result: { metric: Record<string, string>; value: [number, string] }[] };
    };
    return data.result.map(({ metric, value }) => ({ metric, value: Number(value[1]) }));
  }

  /** Names of the alerts that fire in Prometheus. */
  firing(): Promise<string[]> {
    return this.#alerts('ALERTS{alertstate="firing"}');
  }

  /** Names of the alerts that Alertmanager would notify about. */
  async notifications(): Promise<string[]> {
    const answer = await fetch(`${this.alertmanagerUrl}/api/v2/alerts?active=true`);
    const alerts = (await answer.json()) as { labels: Record<string, string> }[];
    return [...new Set(alerts.map(({ labels }) => labels.alertname ?? ''))].sort();
  }

  /**
   * The alerts that keep kured from rebooting a node: those whose names its `--alert-filter-regexp` does not
   * match, including pending ones unless `--alert-firing-only` is set. An unreachable Prometheus blocks kured
   * too.
   *
   * @see https://github.com/kubereboot/kured/blob/main/pkg/blockers/prometheus.go
   */
  async keepsKuredFrom(options: { ignored?: RegExp; firingOnly?: boolean } = {}): Promise<string[]> {
    const names = await this.#alerts(options.firingOnly ? 'ALERTS{alertstate="firing"}' : 'ALERTS');
    return names.filter((name) => !options.ignored?.test(name));
  }

  async #alerts(query: string): Promise<string[]> {
    const alerts = await this.query(query);
    return [...new Set(alerts.map(({ metric }) => metric.alertname ?? ''))].sort();
  }

  async stop(): Promise<void> {
    await Promise.all([this.#front?.stop(), ...this.#programs.map((program) => program.stop())]);
    await rm(this.#dir, { recursive: true, force: true });
  }
}
