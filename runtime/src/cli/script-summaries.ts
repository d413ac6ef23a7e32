/** What each script does that `node-script` prints. detach.sh is not among them: only the program uses it. */
export const scriptSummaries = {
  update_k8s: 'upgrade Kubernetes on a node, or one of the two steps',
  snapshot_etcd: 'save an etcd snapshot on a control-plane node, or check one',
  list_packages: "list what the node's Kubernetes repository offers",
  set_repository: "point the node's Kubernetes repository at another minor",
  update_containerd: "bring the node's containerd to a version",
  preview_kubeadm: 'print what kubeadm would write on a node, and what is there',
  list_images: 'list the images that kubeadm of a control-plane node installs for a release',
  kubelet_facts: 'print what decides whether a newer kubelet starts there',
} as const;

/** Name of a script that `node-script` prints. */
export type SummarizedScript = keyof typeof scriptSummaries;
