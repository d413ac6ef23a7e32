import { alertNames, metrics } from '../runtime/src/names.ts';
import { type AlertOptions, scrapeJobs, type WatchedWorkload } from './options.ts';
import type { AlertDefinition } from './rule.ts';

/**
 * The group `Upgrade Gates`: while one of these alerts fires, no node is drained and kured reboots none. Each
 * means that the cluster or its monitoring is not healthy. None may fire only because a rollout is in
 * progress, except the three that the executor then ignores: version skew, a recent reboot, a missing
 * snapshot.
 */
export function gateAlerts(options: AlertOptions): AlertDefinition[] {
  return [
    ...watchers,
    ...clusterHealth(options),
    ...nodeHealth,
    ...rollout,
    ...options.workloads.map(workloadDown),
  ];
}

/** Fire when the other rules cannot: a gate whose state is unknown counts as closed (F31). */
const watchers: AlertDefinition[] = [
  {
    alert: 'KubeAPIServerDown',
    expr: `absent(up{job=~"${scrapeJobs.apiServer}"} == 1)`,
    for: '5m',
    severity: 'critical',
    summary: 'No API server answers.',
    description: 'Prometheus has reached no API server for 5 minutes.',
  },
  {
    alert: 'KubeStateMetricsDown',
    // Checks a series that every cluster has, as the name of the scrape job differs between installations.
    expr: 'absent(kube_node_info)',
    for: '5m',
    severity: 'critical',
    summary: 'kube-state-metrics is not scraped.',
    description: 'No node information for 5 minutes: version skew, pods, volumes and quotas are unknown.',
  },
  {
    alert: 'PrometheusRuleEvaluationFailing',
    expr: 'sum by (rule_group) (increase(prometheus_rule_evaluation_failures_total[5m])) > 0',
    for: '10m',
    severity: 'warning',
    summary: 'Prometheus cannot evaluate rules of {{ $labels.rule_group }}.',
    description: 'Rules have failed for 10 minutes; an alert in that group may be unable to fire.',
  },
];

function clusterHealth(options: AlertOptions): AlertDefinition[] {
  return [
    {
      alert: 'PVCStuckPending',
      expr: 'kube_persistentvolumeclaim_status_phase{phase="Pending"} == 1',
      for: '30m',
      severity: 'warning',
      summary: 'Volume claim {{ $labels.namespace }}/{{ $labels.persistentvolumeclaim }} is not bound.',
      description: 'It has been pending for 30 minutes: a drained pod may not get its volume back.',
    },
    {
      alert: 'ClusterPodReadyRatioDropped',
      expr: `sum(kube_pod_status_ready{condition="true"})
        / sum(kube_pod_status_phase{phase=~"Pending|Running|Unknown"}) < ${options.minimumPodReadyRatio}`,
      for: '15m',
      severity: 'warning',
      summary: 'Only {{ $value | humanizePercentage }} of the pods are ready.',
      description: `Fewer than ${options.minimumPodReadyRatio} of the pods that should run have been ready for 15 minutes.`,
    },
    {
      alert: 'KubeQuotaAlmostFull',
      expr: `kube_resourcequota{type="used"} / ignoring(type) (kube_resourcequota{type="hard"} > 0) > 0.9`,
      for: '15m',
      severity: 'warning',
      summary:
        'Quota {{ $labels.namespace }}/{{ $labels.resourcequota }} is at {{ $value | humanizePercentage }} of {{ $labels.resource }}.',
      description: 'Evicted pods count twice while they move; a full quota keeps them from coming back.',
    },
  ];
}

function pressure(alert: string, condition: string): AlertDefinition {
  return {
    alert,
    expr: `kube_node_status_condition{condition="${condition}",status="true"} == 1`,
    for: '5m',
    severity: 'warning',
    summary: `{{ $labels.node }} reports ${condition}.`,
    description: 'The kubelet evicts pods by itself; more of them would arrive from a drained node.',
  };
}

const nodeHealth: AlertDefinition[] = [
  pressure('NodeMemoryPressure', 'MemoryPressure'),
  pressure('NodeDiskPressure', 'DiskPressure'),
  {
    alert: alertNames.recentNodeReboot,
    // A reboot starts the kubelet, and the kubelet exports its start time. The chart of Prometheus has the
    // node's name in `instance`, that of its operator in `node`.
    expr: `time() - (process_start_time_seconds{job=~"${scrapeJobs.kubelet}",node!=""}
      or label_replace(process_start_time_seconds{job=~"${scrapeJobs.kubelet}",node=""},
        "node", "$1", "instance", "(.+)")) < 3600`,
    for: '1m',
    severity: 'warning',
    summary: '{{ $labels.node }} came up less than an hour ago.',
    description: 'Its kubelet started within the last hour. One node at a time: the next drain waits.',
  },
];

const rollout: AlertDefinition[] = [
  {
    alert: alertNames.versionSkew,
    expr: `count(count by (version) (
        label_replace(kube_node_info, "version", "$1", "kubelet_version", "(.+)")
        or label_replace(kubernetes_build_info{job=~"${scrapeJobs.apiServer}"}, "version", "$1", "git_version", "(.+)")
      )) > 1`,
    for: '30m',
    severity: 'warning',
    summary: 'The cluster runs {{ $value }} Kubernetes versions.',
    description:
      'Kubelets and API server have differed for 30 minutes: if no rollout is in flight, one has stopped unfinished.',
  },
  {
    alert: alertNames.snapshotMissing,
    // Also fires when the snapshot's gauge is absent.
    expr: `${metrics.inFlight.name} == 1 unless on () ${metrics.snapshotTaken.name} == 1`,
    for: '10m',
    severity: 'critical',
    summary: 'An upgrade is in flight without an etcd snapshot.',
    description: 'Ten minutes into the rollout there is no verified snapshot to go back to.',
  },
];

function workloadDown(workload: WatchedWorkload): AlertDefinition {
  const { alert, namespace, kind, name } = workload;
  const series =
    kind === 'StatefulSet'
      ? `kube_statefulset_status_replicas_ready{namespace="${namespace}",statefulset="${name}"}`
      : `kube_deployment_status_replicas_ready{namespace="${namespace}",deployment="${name}"}`;
  return {
    alert,
    expr: `(${series} < 1) or absent(${series})`,
    for: '5m',
    severity: 'critical',
    summary: `${kind} ${namespace}/${name} has no ready replica.`,
    description: 'It has been down for 5 minutes.',
  };
}
