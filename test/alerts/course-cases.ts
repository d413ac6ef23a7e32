import type { AlertCase } from './case.ts';
import { apiServerBuild, apiServerUp, kubeletStart, nodeInfo, pushed, type Series } from './series.ts';

/** Whole courses of events, and which alerts fire when. Minutes count from the start of preflight. */

const execution = (name: string, values: string) => pushed(name, 'k8s-version-upgrade', values);

const nodes = ['k8s-master', 'k8s-node4', 'k8s-node3', 'k8s-node2', 'k8s-node1'];
const start = 120;
/** Minute at which a node's new kubelet is up: 6 minutes for the drain and the packages, then 10 of soak. */
const upgradedAt = (index: number): number => start + 6 + index * 16;
const finished = upgradedAt(nodes.length - 1) + 10;
const end = finished + 120;

/** Two series of one node: the exporter drops the old one when the version changes. */
function rolledNode(node: string, index: number): Series[] {
  const at = upgradedAt(index);
  return [
    nodeInfo(node, 'v1.34.2', `1x${at - 1} stale`),
    nodeInfo(node, 'v1.34.5', `_x${at} 1x${end - at}`),
    kubeletStart(node, `0x${at - 1} ${at * 60}x${end - at}`),
  ];
}

/** Five nodes, one control plane, ten-minute soaks: nothing goes wrong. */
const rollout: Series[] = [
  ...nodes.flatMap(rolledNode),
  apiServerUp(`1x${start + 3} 0x1 1x${end}`),
  apiServerBuild('v1.34.2', `1x${start + 3} stale`),
  apiServerBuild('v1.34.5', `_x${start + 5} 1x${end}`),
  execution('k8s_upgrade_in_flight', `0x${start} 1x${finished - start - 1} 0x${end}`),
  execution('k8s_upgrade_snapshot_taken', `0x${start + 1} 1x${finished - start - 2} 0x${end}`),
  execution(
    'k8s_upgrade_heartbeat_timestamp',
    `0x${start} ${start * 60}+60x${finished - start} ${finished * 60}x${end}`,
  ),
  execution(
    'k8s_upgrade_last_progress_timestamp',
    `0x${start} ${start * 60}+60x${finished - start} ${finished * 60}x${end}`,
  ),
];

const during = (alert: string, minute: number, fires: AlertCase['fires']): AlertCase => ({
  title: `a healthy rollout of five nodes, minute ${minute - start}`,
  alert,
  input: rollout,
  at: `${minute}m`,
  fires,
});

const rebooted = (count: number) =>
  nodes.slice(0, count).map((node) => ({ job: 'kubernetes-nodes', instance: node, node }));

/** Only the alerts fire that the rollout itself causes and that the executor ignores (F8). */
const healthyRollout: AlertCase[] = [
  during('K8sVersionSkew', start + 20, []),
  during('K8sVersionSkew', start + 60, [{}]),
  during('K8sVersionSkew', finished + 5, []),
  during('RecentNodeReboot', start + 30, rebooted(2)),
  during('RecentNodeReboot', finished + 119, []),
  ...[start + 12, start + 45, start + 75, finished + 30].flatMap((minute) =>
    [
      'KubeAPIServerDown',
      'KubeStateMetricsDown',
      'EtcdPreUpgradeSnapshotMissing',
      'K8sUpgradeStalled',
      'K8sUpgradeLatchWithoutRun',
      'K8sUpgradeFailed',
      'K8sUpgradeBlocked',
      'K8sVersionSkewUnknown',
    ].map((alert) => during(alert, minute, [])),
  ),
];

/** The Pushgateway restarts during a rollout and loses its metrics; the executor pushes all of them again. */
const restartedGateway: Series[] = [
  execution('k8s_upgrade_in_flight', '1x30 stale _x4 1x60'),
  execution('k8s_upgrade_snapshot_taken', '1x30 stale _x4 1x60'),
  execution('k8s_upgrade_heartbeat_timestamp', '0+60x30 stale _x4 2160+60x60'),
  execution('k8s_upgrade_last_progress_timestamp', '0+60x30 stale _x4 2160+60x60'),
];

const pushgatewayRestart: AlertCase[] = ['32m', '40m', '60m'].flatMap((at) =>
  ['EtcdPreUpgradeSnapshotMissing', 'K8sUpgradeLatchWithoutRun', 'K8sUpgradeStalled'].map((alert) => ({
    title: `the Pushgateway restarts during a rollout, ${at}`,
    alert,
    input: restartedGateway,
    at,
    fires: [],
  })),
);

/** The run dies after the second node and is not restarted: the alerts for that fire (F7). */
const abandoned: Series[] = [
  nodeInfo('k8s-master', 'v1.34.5', '1x180'),
  nodeInfo('k8s-node1', 'v1.34.2', '1x180'),
  apiServerBuild('v1.34.5', '1x180'),
  execution('k8s_upgrade_in_flight', '1x180'),
  execution('k8s_upgrade_snapshot_taken', '1x180'),
  execution('k8s_upgrade_heartbeat_timestamp', '0+60x20 1200x160'),
  execution('k8s_upgrade_last_progress_timestamp', '0+60x20 1200x160'),
];

const abandonedRollout: AlertCase[] = [
  ['K8sUpgradeLatchWithoutRun', [{ job: 'k8s-version-upgrade' }]] as const,
  ['K8sVersionSkew', [{}]] as const,
  ['K8sUpgradeStalled', []] as const,
  ['EtcdPreUpgradeSnapshotMissing', []] as const,
].map(([alert, fires]) => ({
  title: 'a run died and left the rollout unfinished',
  alert,
  input: abandoned,
  at: '120m',
  fires,
}));

/** Whole courses of events, for alerts of both groups. */
export const courseCases: AlertCase[] = [...healthyRollout, ...pushgatewayRestart, ...abandonedRollout];
