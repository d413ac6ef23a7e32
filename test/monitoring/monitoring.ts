import { spawnSync } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { Program, until } from '../conformance/program.ts';
import type { RuleGroup } from './rules.ts';

/** Programs that this machine has not. */
export const missingPrograms = (): string[] =>
  ['prometheus', 'prometheus-pushgateway', 'prometheus-alertmanager'].filter(
    (program) => spawnSync(program, ['--version']).error !== undefined,
  );

/** Where Prometheus finds the cluster's own metrics. */
export interface Targets {
  /** `host:port` of the exporter. */
  readonly cluster: string;
  readonly nodes: readonly string[];
}

/** Also how long a scrape may take: the exporter is a part of the test's busy process. */
const scrapeInterval = '1s';
const evaluationInterval = '250ms';

/** Prometheus' configuration, by the chart's names of jobs. What it watches of the cluster is in `targets.json`. */
const configuration = (pushgateway: string, alertmanager: string) => ({
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

/** Targets as Prometheus discovers them from a file. A kubelet's instance is its node's name. */
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

/** Debian's Prometheus, Pushgateway and Alertmanager on an address of loopback. */
export class Monitoring {
  readonly prometheusUrl: string;
  readonly pushgatewayUrl: string;
  readonly #alertmanagerUrl: string;
  readonly #dir: string;
  readonly #programs: readonly Program[];

  private constructor(dir: string, urls: readonly string[], programs: readonly Program[]) {
    [this.prometheusUrl = '', this.pushgatewayUrl = '', this.#alertmanagerUrl = ''] = urls;
    this.#dir = dir;
    this.#programs = programs;
  }

  static async start(): Promise<Monitoring> {
    const dir = await mkdtemp(join(tmpdir(), 'k8s-upgrade-monitoring-'));
    // An address of its own: nobody else's server gets these ports in the moment before they are bound.
    const address = `127.${randomInt(16, 255)}.${randomInt(256)}.${randomInt(1, 255)}`;
    const [prometheus, pushgateway, alertmanager] = [9090, 9091, 9093].map((port) => `${address}:${port}`);
    await writeFile(
      join(dir, 'alertmanager.yml'),
      stringify({ route: { receiver: 'none' }, receivers: [{ name: 'none' }] }),
    );
    await writeFile(
      join(dir, 'prometheus.yml'),
      stringify(configuration(pushgateway ?? '', alertmanager ?? '')),
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
          // An alert goes to Alertmanager again this often, and is sent as ended when it is not.
          '--rules.alert.resend-delay=1s',
        ],
        dir,
      ),
      new Program(
        'prometheus-pushgateway',
        [
          `--web.listen-address=${pushgateway}`,
          // Debian's default is a file below /var/lib, which the next start would read.
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
    const urls = [prometheus, pushgateway, alertmanager].map((address) => `http://${address}`);
    for (const url of urls) await until(url, programs, async () => (await fetch(`${url}/-/ready`)).ok);
    return new Monitoring(dir, urls, programs);
  }

  /**
   * Scrapes this cluster and evaluates these rules from now on. Resolves when every target has answered: Prometheus takes
   * in what it discovers only every five seconds, and until then there is nothing that an alert could fire on.
   */
  async watch(groups: readonly RuleGroup[], targets: Targets): Promise<void> {
    const wanted = discovered(targets);
    await writeFile(join(this.#dir, 'rules.yml'), stringify({ groups }));
    await writeFile(join(this.#dir, 'targets.json'), JSON.stringify(wanted));
    await fetch(`${this.prometheusUrl}/-/reload`, { method: 'POST' });
    await until('every target of Prometheus', this.#programs, async () => {
      const [up] = await this.query('sum(up)');
      // The Pushgateway is one, too.
      return up?.value === wanted.length + 1;
    });
  }

  /** What an instant query gives. */
  async query(query: string): Promise<{ metric: Record<string, string>; value: number }[]> {
    const answer = await fetch(`${this.prometheusUrl}/api/v1/query?${new URLSearchParams({ query })}`);
    const { data } = (await answer.json()) as {
      data: { result: { metric: Record<string, string>; value: [number, string] }[] };
    };
    return data.result.map(({ metric, value }) => ({ metric, value: Number(value[1]) }));
  }

  /** Names of the firing alerts, by Prometheus' own word. */
  firing(): Promise<string[]> {
    return this.#alerts('ALERTS{alertstate="firing"}');
  }

  /** Names of the alerts that Alertmanager holds: those that somebody is told of. */
  async notifications(): Promise<string[]> {
    const answer = await fetch(`${this.#alertmanagerUrl}/api/v2/alerts?active=true`);
    const alerts = (await answer.json()) as { labels: Record<string, string> }[];
    return [...new Set(alerts.map(({ labels }) => labels.alertname ?? ''))].sort();
  }

  /**
   * kured's check before it reboots a node: an alert whose name its `--alert-filter-regexp` does not match is in the way,
   * one that is only pending too, unless there is `--alert-firing-only`; and so is a Prometheus that does not answer.
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
    await Promise.all(this.#programs.map((program) => program.stop()));
    await rm(this.#dir, { recursive: true, force: true });
  }
}
