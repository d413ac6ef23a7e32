/** The stages in their order, each with what it does. */
export const stageSummaries = {
  preflight: 'ask every gate before anything is touched',
  snapshot: 'save and verify an etcd snapshot',
  containerd: 'bring containerd on the control plane up to the workers, where it is behind',
  repo: 'point the package repository of every node at the new minor (minor only)',
  master: 'upgrade the control plane: kubeadm upgrade apply on its first node, upgrade node on the others',
  workers: 'upgrade the workers one by one, each with a soak',
  postflight: 'verify the cluster as a whole and clear the marks of the rollout',
} as const;

export type StageName = keyof typeof stageSummaries;

export const stageNames = Object.keys(stageSummaries) as readonly StageName[];

export const isStageName = (text: string): text is StageName =>
  (stageNames as readonly string[]).includes(text);
