import type { IncomingMessage, ServerResponse } from 'node:http';
import type { LabApi, Node, Pod } from '../lab/api/index.ts';
import { HttpService, send } from '../lab/services/http.ts';
import { line, nodeState, podState } from './state-metrics.ts';

/**
 * Exposes those metrics of the lab's cluster that the rules use: kubelets at `/kubelet/NODE`, the API server
 * at `/apiserver`, kube-state-metrics at `/state`.
 */
export class LabExporter extends HttpService {
  /** Unbound PersistentVolumeClaims to report, `namespace/name`. */
  readonly pendingClaims = new Set<string>();
  readonly #api: LabApi;
  /** Node → version of its kubelet and when that version was first seen, in Unix seconds. */
  readonly #started = new Map<string, { version: string; at: number }>();

  constructor(api: LabApi) {
    super();
    this.#api = api;
    for (const node of this.#nodes) this.#seen(node, Date.now() / 1000 - 86_400);
    api.store.subscribe(({ resource, object }) => {
      if (resource === 'nodes') this.#seen(object as Node, Date.now() / 1000);
    });
  }

  protected override answer(_request: IncomingMessage, response: ServerResponse, url: URL): void {
    const lines = this.#lines(url.pathname);
    if (lines === undefined) send(response, 404, '');
    else send(response, 200, `${lines.join('\n')}\n`, { 'content-type': 'text/plain; version=0.0.4' });
  }

  get #nodes(): Node[] {
    return this.#api.store.list('nodes') as Node[];
  }

  #seen(node: Node, at: number): void {
    const version = node.status?.nodeInfo?.kubeletVersion ?? '';
    if (this.#started.get(node.metadata.name)?.version !== version)
      this.#started.set(node.metadata.name, { version, at });
  }

  #lines(path: string): string[] | undefined {
    if (path === '/state')
      return [
        ...nodeState(this.#nodes),
        ...podState(this.#api.store.list('pods') as Pod[]),
        ...this.#claims(),
      ];
    if (path === '/apiserver') {
      const version = this.#nodes.find(
        (n) => 'node-role.kubernetes.io/control-plane' in (n.metadata.labels ?? {}),
      );
      return [
        line('kubernetes_build_info', { git_version: version?.status?.nodeInfo?.kubeletVersion ?? '' }, 1),
      ];
    }
    const started = this.#started.get(path.replace('/kubelet/', ''));
    return started && [line('process_start_time_seconds', {}, started.at)];
  }

  #claims(): string[] {
    return [...this.pendingClaims].map((claim) => {
      const [namespace = '', persistentvolumeclaim = ''] = claim.split('/');
      const labels = { namespace, persistentvolumeclaim, phase: 'Pending' };
      return line('kube_persistentvolumeclaim_status_phase', labels, 1);
    });
  }
}
