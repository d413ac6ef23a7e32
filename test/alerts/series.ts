/**
 * Series as exporters really expose them, labels included: kube-state-metrics and the Pushgateway as the
 * Prometheus chart scrapes them, the API server and the kubelets as its discovery jobs do.
 */

/** A series for promtool. */
export interface Series {
  /** Name and labels. */
  readonly series: string;
  /** Values in promtool's notation (`1x60`, `_x5`, `0+60x30`), one per interval. */
  readonly values: string;
}

type Labels = Record<string, string>;

function series(name: string, labels: Labels, values: string): Series {
  const text = Object.entries(labels)
    .map(([key, value]) => `${key}="${value}"`)
    .join(',');
  return { series: `${name}{${text}}`, values };
}

const kubeStateMetricsJob = {
  job: 'kubernetes-service-endpoints',
  instance: '10.244.1.7:8080',
  namespace: 'monitoring',
  service: 'prometheus-kube-state-metrics',
};

/** A series of kube-state-metrics. `namespace` is the object's, as the chart scrapes with `honor_labels`. */
export const kubeState = (name: string, labels: Labels, values: string): Series =>
  series(name, { ...kubeStateMetricsJob, ...labels }, values);

/** A node with its kubelet's version, from kube-state-metrics. */
export const nodeInfo = (node: string, kubeletVersion: string, values: string): Series =>
  kubeState(
    'kube_node_info',
    {
      node,
      kernel_version: '6.8.0-45-generic',
      os_image: 'Ubuntu 24.04 LTS',
      container_runtime_version: 'containerd://2.0.2',
      kubelet_version: kubeletVersion,
      kubeproxy_version: 'deprecated',
      system_uuid: node,
      internal_ip: '10.0.20.100',
    },
    values,
  );

const apiServerJob = { job: 'kubernetes-apiservers', instance: '10.0.20.100:6443' };

/** Whether Prometheus can scrape the API server. */
export const apiServerUp = (values: string): Series => series('up', apiServerJob, values);

/** The version of the API server. */
export const apiServerBuild = (gitVersion: string, values: string): Series =>
  series(
    'kubernetes_build_info',
    {
      ...apiServerJob,
      git_version: gitVersion,
      major: '1',
      minor: gitVersion.split('.')[1] ?? '',
      platform: 'linux/amd64',
    },
    values,
  );

/** A kubelet's start time as the Prometheus chart scrapes it: the node's name is the instance. */
export const kubeletStart = (node: string, values: string): Series =>
  series('process_start_time_seconds', { job: 'kubernetes-nodes', instance: node }, values);

/** A kubelet's start time as the operator's chart scrapes it: the node's name is a separate label. */
export const operatorKubeletStart = (node: string, values: string): Series =>
  series(
    'process_start_time_seconds',
    { job: 'kubelet', instance: '10.0.20.101:10250', node, metrics_path: '/metrics' },
    values,
  );

/** A metric of the runtime, from the Pushgateway, which is scraped with `honor_labels`. */
export const pushed = (name: string, job: string, values: string, labels: Labels = {}): Series =>
  series(name, { job, instance: '', ...labels }, values);

/** Failed evaluations of a rule group, from Prometheus itself. */
export const ruleFailures = (ruleGroup: string, values: string): Series =>
  series(
    'prometheus_rule_evaluation_failures_total',
    { job: 'prometheus', instance: 'localhost:9090', rule_group: ruleGroup },
    values,
  );
