import type { IncomingMessage, ServerResponse } from 'node:http';
import { isDeepStrictEqual } from 'node:util';
import { requestedQuery, scrapedQuery } from '../../../runtime/src/gates/compatibility/removed-apis.ts';
import { HttpService, send, sendJson } from './http.ts';

export type Labels = Readonly<Record<string, string>>;

interface ActiveAlert {
  readonly name: string;
  readonly labels: Labels;
  readonly since: Date;
  readonly state: 'pending' | 'firing';
}

const runtimeInfo = '/api/v1/status/runtimeinfo';

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
 * The parts of Prometheus' HTTP API that the pipeline uses: rules, alerts, instant queries, when it started.
 * Rules are not evaluated: tests let alerts become pending, fire and clear by name.
 */
export class Prometheus extends HttpService {
  /** Rule group → its alerts. */
  readonly groups = new Map<string, string[]>([['Upgrade Gates', [...upgradeGates]]]);
  /** The API servers whose metrics are scraped, by their label `instance`. */
  apiServers: readonly string[] = ['127.0.1.1:6443'];
  /** Whether rules can be filtered by group. Prometheus 2.42, as in Debian 12, ignores the parameter. */
  filtersRules = true;
  /** Alert → `for` of its rule in seconds. @default 300 */
  readonly durations = new Map<string, number>();
  /** How far its clock is ahead of this machine's, ms. */
  clockAheadMs = 0;
  /** When it started: each `for` starts again then. @default a day ago */
  startedAt = new Date(Date.now() - 86_400_000);
  /** Status of the answer about when it started: others that speak its API have none, such as 404. */
  runtimeInfoStatus = 200;
  /** Rules that are loaded and not evaluated yet. */
  readonly unevaluated = new Set<string>();
  readonly #active: ActiveAlert[] = [];
  readonly #queries = new Map<string, { labels: Labels; value: number }[]>();

  /**
   * Fires an alert, which may be pending.
   * @throws Error when no group has it, so that no test passes because of a misspelled name
   */
  fire(name: string, labels: Labels = {}): void {
    const isSame = (alert: ActiveAlert) => alert.name === name && isDeepStrictEqual(alert.labels, labels);
    const { since = new Date() } = this.#active.find(isSame) ?? {};
    this.#start({ name, labels, since, state: 'firing' });
  }

  /**
   * Lets an alert become pending: its expression has been true since then, and not for as long as its `for`.
   * @throws Error when no group has it
   */
  pend(name: string, labels: Labels = {}, since = new Date()): void {
    this.#start({ name, labels, since, state: 'pending' });
  }

  #start(alert: ActiveAlert): void {
    if (![...this.groups.values()].some((alerts) => alerts.includes(alert.name)))
      throw new Error(`no rule ${alert.name}`);
    const others = this.#active.filter(
      ({ name, labels }) => name !== alert.name || !isDeepStrictEqual(labels, alert.labels),
    );
    this.#active.splice(0, this.#active.length, ...others, alert);
  }

  /** Clears the alerts of this name that have all the given labels. Does nothing when there is none. */
  clear(name: string, labels: Labels = {}): void {
    const matches = (alert: ActiveAlert) =>
      alert.name === name && Object.entries(labels).every(([key, value]) => alert.labels[key] === value);
    for (const alert of this.#active.filter(matches)) this.#active.splice(this.#active.indexOf(alert), 1);
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
    response.setHeader('date', new Date(this.#time()).toUTCString());
    if (url.pathname === '/-/ready') send(response, 200, 'Prometheus Server is Ready.\n');
    else if (request.method !== 'GET') sendJson(response, 405, problem('bad_data', 'method not allowed'));
    else if (url.pathname === runtimeInfo && this.runtimeInfoStatus !== 200)
      send(response, this.runtimeInfoStatus, '');
    else if (data === undefined) send(response, 404, '404 page not found\n');
    else if (data === 'invalid') sendJson(response, 400, problem('bad_data', 'invalid parameter'));
    else sendJson(response, 200, { status: 'success', data });
  }

  /** RFC 3339 by its clock. @param at epoch ms by this machine's clock. */
  #time(at: number | Date = Date.now()): string {
    return new Date(Number(at) + this.clockAheadMs).toISOString();
  }

  readonly #alertJson = ({ name, labels, since, state }: ActiveAlert): object => ({
    labels: { alertname: name, severity: 'warning', ...labels },
    annotations: { summary: name },
    state,
    activeAt: this.#time(since),
    value: '1e+00',
  });

  #data(url: URL): object | 'invalid' | undefined {
    const { pathname, searchParams } = url;
    if (pathname === '/api/v1/alerts') return { alerts: this.#active.map(this.#alertJson) };
    if (pathname === '/api/v1/rules') return this.#rules(searchParams);
    if (pathname === runtimeInfo) return this.#runtime();
    if (pathname !== '/api/v1/query') return undefined;
    const query = searchParams.get('query');
    return query === null ? 'invalid' : this.#query(query);
  }

  #runtime(): object {
    const started = this.#time(this.startedAt);
    return {
      startTime: started,
      CWD: '/prometheus',
      reloadConfigSuccess: true,
      lastConfigTime: started,
      corruptionCount: 0,
      goroutineCount: 40,
      GOMAXPROCS: 2,
      GOGC: '',
      GODEBUG: '',
      storageRetention: '15d',
    };
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
      lastEvaluation: this.#time(),
    };
  }

  #rule(name: string): object {
    const active = this.#active.filter((alert) => alert.name === name);
    const states = ['firing', 'pending'].filter((state) => active.some((alert) => alert.state === state));
    return {
      state: states[0] ?? 'inactive',
      name,
      query: 'vector(1) > 0',
      duration: this.durations.get(name) ?? 300,
      keepFiringFor: 0,
      labels: { severity: 'warning' },
      annotations: { summary: name },
      alerts: active.map(this.#alertJson),
      ...(this.unevaluated.has(name)
        ? { health: 'unknown', evaluationTime: 0, lastEvaluation: '0001-01-01T00:00:00Z' }
        : { health: 'ok', evaluationTime: 0.0003, lastEvaluation: this.#time() }),
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

const problem = (errorType: string, error: string) => ({ status: 'error', errorType, error });
