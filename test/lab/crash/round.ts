/**
 * What `make crash-test` plays when it is asked for nothing else. The README quotes it; a test compares them.
 */
export const round = {
  /** Kill points of a patch on one control-plane node and three workers. */
  patch: 40,
  /** Of a minor, in the stages that a patch skips. */
  minor: 6,
  /** Of three control-plane nodes, while they are upgraded. */
  ha: 6,
  /** Of the detector, for each way of dispatching. */
  detector: 6,
  /** Calls of the patch that go wrong. */
  faults: 12,
} as const;

/** Connections that break off while a script is on its way to a node. */
export const brokenTransfers: readonly string[] = [
  'start snapshot_etcd on k8s-master#1:before:half',
  'start update_k8s on k8s-master#1:before:most',
  'start update_k8s on k8s-node2#1:before:half',
];

/** The parts of a round, as the README names them. */
export const parts = {
  patch: 'executor killed, patch on one control-plane node',
  minor: 'executor killed, the stages that only a minor has',
  ha: 'executor killed, while three control-plane nodes are upgraded',
  'agent-service': 'detector killed, dispatching through the agent service',
  job: 'detector killed, dispatching as a Job',
  faults: 'calls that go wrong: 500, 429, a reset, silence',
  brokenTransfers: 'connections cut while a script is on its way to a node',
  disturbances:
    'disturbances of a whole run: the API server away, SSH cut in the middle of a script, reboots, an executor stopped for longer than its lease',
} as const;
