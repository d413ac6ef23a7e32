/** What a plain `make crash-test` plays. docs/testing.md quotes the sizes; a test compares them. */
export const round = {
  /** Kill points of a patch on one control-plane node and three workers. */
  patch: 30,
  /** Kill points of a minor, in the stages that a patch skips. */
  minor: 4,
  /** Kill points of three control-plane nodes, while they are upgraded. */
  ha: 4,
  /** Kill points of the detector, for each way of dispatching. */
  detector: 4,
  /** Calls of the patch that fail. */
  faults: 8,
} as const;

/** Points at which a connection breaks off while a script is being sent to a node. */
export const brokenTransfers: readonly string[] = [
  'start snapshot_etcd on k8s-master#1:before:half',
  'start update_k8s on k8s-master#1:before:most',
  'start update_k8s on k8s-node2#1:before:half',
];

/** The parts of a round, as docs/testing.md names them. */
export const parts = {
  patch: 'executor killed, patch on one control-plane node',
  minor: 'executor killed, the stages that only a minor has',
  ha: 'executor killed, while three control-plane nodes are upgraded',
  'agent-service': 'detector killed, dispatching through the agent service',
  job: 'detector killed, dispatching as a Job',
  faults: 'failing calls: 500, 429, a reset, silence',
  brokenTransfers: 'connections cut while a script is being sent to a node',
  disturbances:
    'disturbances of a whole run: an API server outage, SSH cut in the middle of a script, reboots, an executor stopped for longer than its lease',
} as const;
