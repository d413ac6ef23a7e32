/** What `make crash-test` plays when it is asked for nothing else. The README quotes it; a test compares them. */
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
