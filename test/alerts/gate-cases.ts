import type { AlertCase } from './case.ts';
import {
  apiServerBuild,
  apiServerUp,
  kubeletStart,
  kubeState,
  nodeInfo,
  operatorKubeletStart,
  pushed,
  ruleFailures,
} from './series.ts';

const claim = { namespace: 'dbaas', persistentvolumeclaim: 'data-0', phase: 'Pending' };
const ready = (condition: string, pod: string, values: string) =>
  kubeState('kube_pod_status_ready', { namespace: 'web', pod, uid: pod, condition }, values);
const phase = (name: string, pod: string, values: string) =>
  kubeState('kube_pod_status_phase', { namespace: 'web', pod, uid: pod, phase: name }, values);
const pods = (readyPods: number, unreadyPods: number) =>
  Array.from({ length: readyPods + unreadyPods }, (_, i) => [
    ready('true', `p${i}`, i < readyPods ? '1x60' : '0x60'),
    ready('false', `p${i}`, i < readyPods ? '0x60' : '1x60'),
    phase('Running', `p${i}`, '1x60'),
    phase('Succeeded', `p${i}`, '0x60'),
  ]).flat();
/** The pod of a finished Job, which is not expected to be ready. */
const finishedPod = [
  ready('true', 'job', '0x60'),
  phase('Succeeded', 'job', '1x60'),
  phase('Running', 'job', '0x60'),
];
const quota = (type: string, value: number) =>
  kubeState(
    'kube_resourcequota',
    { namespace: 'web', resourcequota: 'q', resource: 'pods', type },
    `${value}x60`,
  );
const condition = (name: string, status: string, values: string) =>
  kubeState('kube_node_status_condition', { node: 'k8s-node1', condition: name, status }, values);
const mysql = (values: string) =>
  kubeState(
    'kube_statefulset_status_replicas_ready',
    { namespace: 'dbaas', statefulset: 'mysql-standalone' },
    values,
  );
const traefik = (values: string) =>
  kubeState('kube_deployment_status_replicas_ready', { namespace: 'ingress', deployment: 'traefik' }, values);
const execution = (name: string, values: string) => pushed(name, 'k8s-version-upgrade', values);

const pressureCases = (alert: string, name: string): AlertCase[] => [
  {
    title: 'the condition holds',
    alert,
    input: [condition(name, 'true', '1x60'), condition(name, 'false', '0x60')],
    at: '10m',
    fires: [{ node: 'k8s-node1', condition: name, status: 'true', ...exporter }],
  },
  {
    title: 'the condition is unknown, which is not pressure',
    alert,
    input: [condition(name, 'true', '0x60'), condition(name, 'unknown', '1x60')],
    at: '10m',
    fires: [],
  },
];
const exporter = {
  job: 'kubernetes-service-endpoints',
  instance: '10.244.1.7:8080',
  namespace: 'monitoring',
  service: 'prometheus-kube-state-metrics',
};

/**
 * For every alert of the group `Upgrade Gates`: cases in which it fires, and near misses in which it does
 * not.
 */
export const gateCases: AlertCase[] = [
  {
    title: 'no API server answers',
    alert: 'KubeAPIServerDown',
    input: [apiServerUp('1x5 0x20')],
    at: '12m',
    fires: [{}],
  },
  { title: 'the scrape job is gone', alert: 'KubeAPIServerDown', input: [], at: '12m', fires: [{}] },
  {
    title: 'it is back within 5 minutes, as in an upgrade',
    alert: 'KubeAPIServerDown',
    input: [apiServerUp('1x5 0x3 1x20')],
    at: '12m',
    fires: [],
  },
  {
    title: 'the exporter is gone',
    alert: 'KubeStateMetricsDown',
    input: [nodeInfo('k8s-node1', 'v1.34.2', '1x5 stale')],
    at: '12m',
    fires: [{}],
  },
  {
    title: 'the exporter moves to another node',
    alert: 'KubeStateMetricsDown',
    input: [nodeInfo('k8s-node1', 'v1.34.2', '1x5 stale _x2 1x20')],
    at: '12m',
    fires: [],
  },
  {
    title: 'a rule fails at every evaluation',
    alert: 'PrometheusRuleEvaluationFailing',
    input: [ruleFailures('web', '0+1x60')],
    at: '20m',
    fires: [{ rule_group: 'web' }],
  },
  {
    title: 'a rule failed once',
    alert: 'PrometheusRuleEvaluationFailing',
    input: [ruleFailures('web', '0x3 1x60')],
    at: '20m',
    fires: [],
  },
  {
    title: 'a claim stays pending',
    alert: 'PVCStuckPending',
    input: [kubeState('kube_persistentvolumeclaim_status_phase', claim, '1x60')],
    at: '35m',
    fires: [{ ...exporter, ...claim }],
  },
  {
    title: 'a claim is bound after a while',
    alert: 'PVCStuckPending',
    input: [kubeState('kube_persistentvolumeclaim_status_phase', claim, '1x25 0x40')],
    at: '35m',
    fires: [],
  },
  {
    title: 'two of ten pods are not ready',
    alert: 'ClusterPodReadyRatioDropped',
    input: pods(8, 2),
    at: '20m',
    fires: [{}],
  },
  {
    title: 'one of ten is not ready, and a Job has finished',
    alert: 'ClusterPodReadyRatioDropped',
    input: [...pods(9, 1), ...finishedPod],
    at: '20m',
    fires: [],
  },
  ...pressureCases('NodeMemoryPressure', 'MemoryPressure'),
  ...pressureCases('NodeDiskPressure', 'DiskPressure'),
  {
    title: 'more than nine tenths are used',
    alert: 'KubeQuotaAlmostFull',
    input: [quota('used', 19), quota('hard', 20)],
    at: '20m',
    fires: [{ ...exporter, namespace: 'web', resourcequota: 'q', resource: 'pods' }],
  },
  {
    title: 'exactly nine tenths are used',
    alert: 'KubeQuotaAlmostFull',
    input: [quota('used', 18), quota('hard', 20)],
    at: '20m',
    fires: [],
  },
  {
    title: 'the quota is zero, so that no share of it is used',
    alert: 'KubeQuotaAlmostFull',
    input: [quota('used', 0), quota('hard', 0)],
    at: '20m',
    fires: [],
  },
  {
    title: 'a kubelet started half an hour ago (chart of Prometheus)',
    alert: 'RecentNodeReboot',
    input: [kubeletStart('k8s-node1', '600x60')],
    at: '40m',
    fires: [{ job: 'kubernetes-nodes', instance: 'k8s-node1', node: 'k8s-node1' }],
  },
  {
    title: 'a kubelet started half an hour ago (chart of the operator)',
    alert: 'RecentNodeReboot',
    input: [operatorKubeletStart('k8s-node1', '600x60')],
    at: '40m',
    fires: [{ job: 'kubelet', instance: '10.0.20.101:10250', node: 'k8s-node1', metrics_path: '/metrics' }],
  },
  {
    title: 'a kubelet started more than an hour ago',
    alert: 'RecentNodeReboot',
    input: [kubeletStart('k8s-node1', '600x80')],
    at: '75m',
    fires: [],
  },
  {
    title: 'two kubelets differ',
    alert: 'K8sVersionSkew',
    input: [nodeInfo('k8s-node1', 'v1.34.2', '1x60'), nodeInfo('k8s-node2', 'v1.34.5', '1x60')],
    at: '35m',
    fires: [{}],
  },
  {
    title: 'the API server is ahead of every kubelet',
    alert: 'K8sVersionSkew',
    input: [
      nodeInfo('k8s-node1', 'v1.34.2', '1x60'),
      nodeInfo('k8s-node2', 'v1.34.2', '1x60'),
      apiServerBuild('v1.34.5', '1x60'),
    ],
    at: '35m',
    fires: [{}],
  },
  {
    title: 'all are the same',
    alert: 'K8sVersionSkew',
    input: [
      nodeInfo('k8s-node1', 'v1.34.5', '1x60'),
      nodeInfo('k8s-node2', 'v1.34.5', '1x60'),
      apiServerBuild('v1.34.5', '1x60'),
    ],
    at: '35m',
    fires: [],
  },
  {
    title: 'they differed for less than half an hour',
    alert: 'K8sVersionSkew',
    input: [
      nodeInfo('k8s-node1', 'v1.34.2', '1x25 stale'),
      nodeInfo('k8s-node1', 'v1.34.5', '_x25 1x40'),
      apiServerBuild('v1.34.5', '1x60'),
    ],
    at: '40m',
    fires: [],
  },
  {
    title: 'the exporter is gone, for which KubeStateMetricsDown fires',
    alert: 'K8sVersionSkew',
    input: [nodeInfo('k8s-node1', 'v1.34.2', '1x5 stale'), apiServerBuild('v1.34.5', '1x60')],
    at: '50m',
    fires: [],
  },
  {
    title: 'the exporter is gone while versions differ',
    alert: 'KubeStateMetricsDown',
    input: [nodeInfo('k8s-node1', 'v1.34.2', '1x5 stale'), apiServerBuild('v1.34.5', '1x60')],
    at: '50m',
    fires: [{}],
  },
  {
    title: 'in flight without a snapshot',
    alert: 'EtcdPreUpgradeSnapshotMissing',
    input: [execution('k8s_upgrade_in_flight', '1x60'), execution('k8s_upgrade_snapshot_taken', '0x60')],
    at: '15m',
    fires: [{ job: 'k8s-version-upgrade' }],
  },
  {
    title: 'in flight, and the snapshot’s metric was never pushed',
    alert: 'EtcdPreUpgradeSnapshotMissing',
    input: [execution('k8s_upgrade_in_flight', '1x60')],
    at: '15m',
    fires: [{ job: 'k8s-version-upgrade' }],
  },
  {
    title: 'the snapshot comes within 10 minutes',
    alert: 'EtcdPreUpgradeSnapshotMissing',
    input: [execution('k8s_upgrade_in_flight', '1x60'), execution('k8s_upgrade_snapshot_taken', '0x8 1x60')],
    at: '15m',
    fires: [],
  },
  {
    title: 'nothing is in flight',
    alert: 'EtcdPreUpgradeSnapshotMissing',
    input: [execution('k8s_upgrade_in_flight', '0x60'), execution('k8s_upgrade_snapshot_taken', '0x60')],
    at: '15m',
    fires: [],
  },
  {
    title: 'no replica is ready',
    alert: 'MysqlStandaloneDown',
    input: [mysql('1x5 0x60')],
    at: '15m',
    fires: [{ ...exporter, namespace: 'dbaas', statefulset: 'mysql-standalone' }],
  },
  {
    title: 'the StatefulSet is gone',
    alert: 'MysqlStandaloneDown',
    input: [],
    at: '15m',
    fires: [{ namespace: 'dbaas', statefulset: 'mysql-standalone' }],
  },
  {
    title: 'it was restarted',
    alert: 'MysqlStandaloneDown',
    input: [mysql('1x5 0x3 1x60')],
    at: '15m',
    fires: [],
  },
  {
    title: 'no replica of a Deployment is ready',
    alert: 'TraefikDown',
    input: [traefik('2x5 0x60')],
    at: '15m',
    fires: [{ ...exporter, namespace: 'ingress', deployment: 'traefik' }],
  },
  {
    title: 'the Deployment is gone',
    alert: 'TraefikDown',
    input: [],
    at: '15m',
    fires: [{ namespace: 'ingress', deployment: 'traefik' }],
  },
  {
    title: 'one of two replicas is ready, as during a rollout of the Deployment',
    alert: 'TraefikDown',
    input: [traefik('2x5 1x60')],
    at: '15m',
    fires: [],
  },
  {
    title: 'the Deployment was away for less than 5 minutes',
    alert: 'TraefikDown',
    input: [traefik('2x5 0x3 2x60')],
    at: '15m',
    fires: [],
  },
];
