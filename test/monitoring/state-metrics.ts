import type { Node, Pod } from '../lab/api/types.ts';

type Labels = Readonly<Record<string, string>>;

/** One sample in Prometheus' text format. */
export const line = (name: string, labels: Labels, value: number): string =>
  `${name}{${Object.entries(labels)
    .map(([key, text]) => `${key}=${JSON.stringify(text)}`)
    .join(',')}} ${value}`;

/** What kube-state-metrics exposes of nodes, as far as the rules use it. */
export const nodeState = (nodes: readonly Node[]): string[] =>
  nodes.flatMap(({ metadata, status }) => {
    const { name } = metadata;
    const conditions = (status?.conditions ?? []).map(({ type, status }) =>
      line(
        'kube_node_status_condition',
        { node: name, condition: type, status: 'true' },
        status === 'True' ? 1 : 0,
      ),
    );
    const kubelet_version = status?.nodeInfo?.kubeletVersion ?? '';
    return [line('kube_node_info', { node: name, kubelet_version }, 1), ...conditions];
  });

/** What kube-state-metrics exposes of pods, as far as the rules use it. */
export const podState = (pods: readonly Pod[]): string[] =>
  pods.flatMap(({ metadata, status }) => {
    const labels = { namespace: metadata.namespace ?? '', pod: metadata.name };
    const ready = status?.conditions?.some((one) => one.type === 'Ready' && one.status === 'True');
    return [
      line('kube_pod_status_phase', { ...labels, phase: status?.phase ?? 'Unknown' }, 1),
      line('kube_pod_status_ready', { ...labels, condition: 'true' }, ready ? 1 : 0),
    ];
  });
