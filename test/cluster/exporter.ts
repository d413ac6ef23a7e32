import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Rest } from '../lab/api/contract/rest.ts';
import { HttpService, send } from '../lab/services/http.ts';
import { nodeState, podState } from '../monitoring/state-metrics.ts';

/**
 * What Prometheus scrapes of a real cluster: the API server's own metrics at `/apiserver`, a kubelet's
 * through the API server at `/kubelet/NODE`, as the chart's jobs do, and in place of kube-state-metrics the
 * series that the rules use at `/state`.
 */
export class RealExporter extends HttpService {
  readonly #rest: Rest;

  constructor(address: string, rest: Rest) {
    super({ address });
    this.#rest = rest;
  }

  protected override async answer(
    _request: IncomingMessage,
    response: ServerResponse,
    url: URL,
  ): Promise<void> {
    try {
      send(response, 200, await this.#metrics(url.pathname), { 'content-type': 'text/plain; version=0.0.4' });
    } catch (error) {
      send(response, 503, String(error));
    }
  }

  async #metrics(path: string): Promise<string> {
    if (path === '/apiserver') return this.#rest.get('/metrics');
    if (path !== '/state')
      return this.#rest.get(`/api/v1/nodes/${path.replace('/kubelet/', '')}/proxy/metrics`);
    const [nodes, pods] = await Promise.all([
      this.#rest.get('/api/v1/nodes'),
      this.#rest.get('/api/v1/pods'),
    ]);
    return [...nodeState(nodes.items), ...podState(pods.items), ''].join('\n');
  }
}
