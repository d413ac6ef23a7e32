import type { IncomingMessage, ServerResponse } from 'node:http';
import { requestedQuery, scrapedQuery } from '../../../runtime/src/gates/compatibility/removed-apis.ts';
import { HttpService, send, sendJson } from './http.ts';

export type Labels = Readonly<Record<string, string>>;

interface FiringAlert {
  readonly name: string;
  readonly labels: Labels;
  readonly since: Date;
}

/** The twelve alerts of the group `Upgrade Gates`. */
export const upgradeGates: readonly string[] = [
  'KubeAPIServerDown',
  'KubeStateMetricsDown',
  'PrometheusRuleEvaluationFailing',
  'PVCStuckPending',
  'RecentNodeReboot',
  'MysqlStandaloneDown',
  'ClusterPodReadyRatioDropped',
  'NodeMemoryPressure',
  'NodeDiskPressure',
  'KubeQuotaAlmostFull',
  'K8sVersionSkew',
  'EtcdPreUpgradeSnapshotMissing',
];

/**
 * The parts of Prometheus' HTTP API that the pipeline uses: rules, alerts, instant queries. Rules are not
 * evaluated: tests fire and clear alerts by name.
 */
export class Prometheus extends HttpService {
  /** Rule group → its alerts. */
  readonly groups = new Map<string, string[]>([['Upgrade Gates', [...upgradeGates]]]);
  /** The API servers whose metrics are scraped, by their label `instance`. */
  apiServers: readonly string[] = ['127.0.1.1:6443'];
  /** Whether rules can be filtered by group. Prometheus 2.42, as in Debian 12, ignores the parameter. */
  filtersRules = true;
  readonly #firing: FiringAlert[] = [];
  readonly #queries = new Map<string, { labels: Labels; value: number }[]>();

  /**
   * Fires an alert.
   * @throws Error when no group has it, so that no test passes because of a misspelled name
   */
  fire(name: string, labels: Labels = {}): void {
    if (![...this.groups.values()].some((alerts) => alerts.includes(name)))
      throw new Error(`no rule ${name}`);
    this.#firing.push({ name, labels, since: new Date() });
  }

  /** Clears the alerts of this name that have all the given labels. Does nothing when there is none. */
  clear(name: string, labels: Labels = {}): void {
    const matches = (alert: FiringAlert) =>
      alert.name === name && Object.entries(labels).every(([key, value]) => alert.labels[key] === value);
    for (const alert of this.#firing.filter(matches)) this.#firing.splice(this.#firing.indexOf(alert), 1);
  }

  /** Reports the call of a deprecated API version on every API server. */
  callDeprecated(api: { group: string; version: string; resource: string; removed_release: string }): void {
    const series = this.apiServers.map((instance) => ({
      labels: { instance, subresource: '', ...api },
      value: 1,
    }));
    this.setQuery(requestedQuery, [...(this.#queries.get(requestedQuery) ?? []), ...series]);
  }

  /** Sets the result of an instant query. Other queries return an empty vector. */
  setQuery(query: string, vector: { labels: Labels; value: number }[]): void {
    this.#queries.set(query, vector);
  }

  protected override answer(request: IncomingMessage, response: ServerResponse, url: URL): void {
    const data = this.#data(url);
    if (url.pathname === '/-/ready') send(response, 200, 'Prometheus Server is Ready.\n');
    else if (request.method !== 'GET') sendJson(response, 405, problem('bad_data', 'method not allowed'));
    else if (data === undefined) send(response, 404, '404 page not found\n');
    else if (data === 'invalid') sendJson(response, 400, problem('bad_data', 'invalid parameter'));
    else sendJson(response, 200, { status: 'success', data });
  }

  #data(url: URL): object | 'invalid' | undefined {
    const { pathname, searchParams } = url;
    if (pathname === '/api/v1/alerts') return { alerts: this.#firing.map(alertJson) };
    if (pathname === '/api/v1/rules') return this.#rules(searchParams);
    if (pathname !== '/api/v1/query') return undefined;
    const query = searchParams.get('query');
    return query === null ? 'invalid' : this.#query(query);
  }

  #rules(params: URLSearchParams): object | 'invalid' {
    const type = params.get('type');
    if (type !== null && type !== 'alert' && type !== 'record') return 'invalid';
    const wanted = this.filtersRules ? params.getAll('rule_group[]') : [];
    const groups = [...this.groups].filter(([name]) => wanted.length === 0 || wanted.includes(name));
    return { groups: type === 'record' ? [] : groups.map(([name, alerts]) => this.#group(name, alerts)) };
  }

  #group(name: string, alerts: readonly string[]): object {
    return {
      name,
      file: '/etc/config/alerting_rules.yml',
      rules: alerts.map((alert) => this.#rule(alert)),
      interval: 30,
      limit: 0,
      evaluationTime: 0.002,
      lastEvaluation: new Date().toISOString(),
    };
  }

  #rule(name: string): object {
    const active = this.#firing.filter((alert) => alert.name === name).map(alertJson);
    return {
      state: active.length > 0 ? 'firing' : 'inactive',
      name,
      query: 'vector(1) > 0',
      duration: 300,
      keepFiringFor: 0,
      labels: { severity: 'warning' },
      annotations: { summary: name },
      alerts: active,
      health: 'ok',
      evaluationTime: 0.0003,
      lastEvaluation: new Date().toISOString(),
      type: 'alerting',
    };
  }

  #scraped(): { labels: Labels; value: number }[] {
    return this.apiServers.map((instance) => ({ labels: { instance }, value: 412 }));
  }

  #query(query: string): object {
    const now = Date.now() / 1000;
    const vector = this.#queries.get(query) ?? (query === scrapedQuery ? this.#scraped() : []);
    return {
      resultType: 'vector',
      result: vector.map(({ labels, value }) => ({ metric: labels, value: [now, String(value)] })),
    };
  }
}

function alertJson({ name, labels, since }: FiringAlert): object {
  return {
    labels: { alertname: name, severity: 'warning', ...labels },
    annotations: { summary: name },
    state: 'firing',
    activeAt: since.toISOString(),
    value: '1e+00',
  };
}

const problem = (errorType: string, error: string) => ({ status: 'error', errorType, error });
