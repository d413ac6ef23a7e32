/** The node scripts that a person may ask for, each with what it does. detach.sh is the program's own. */
export const scriptSummaries = {
  update_k8s: 'upgrade Kubernetes on a node that is drained',
  snapshot_etcd: 'save an etcd snapshot on a control-plane node, or check one',
  list_packages: "list what the node's Kubernetes repository offers",
  set_repository: "point the node's Kubernetes repository at another minor",
  update_containerd: "bring the node's containerd to a version",
  kubelet_facts: 'print what decides whether a newer kubelet starts there',
} as const;

export type SummarizedScript = keyof typeof scriptSummaries;
