import { controlPlaneImages } from '../cluster-system.ts';
import type { NodeHooks } from '../nodes/node.ts';
import type { Kubelets } from './controllers/kubelet.ts';
import type { Store } from './store.ts';
import type { Node, Pod } from './types.ts';

/** How long the API server is away while its static pod restarts, milliseconds. */
const apiServerRestart = 400;

interface Cluster {
  readonly store: Store;
  readonly kubelets: Kubelets;
  setVersion(release: string): void;
  outage(ms: number): Promise<void>;
}

/** What a node's kubelet and static pods report to the cluster when the node's programs change. */
export function connectNode(api: Cluster, name: string): NodeHooks {
  const nodeInfo = (change: { kubeletVersion?: string; containerRuntimeVersion?: string }) =>
    api.store.modify('nodes', undefined, name, (node: Node) => {
      node.status = { ...node.status, nodeInfo: { ...node.status?.nodeInfo, ...change } as never };
    });
  return {
    onKubeletRestart(release, containerd) {
      const runtime = containerd === '' ? {} : { containerRuntimeVersion: `containerd://${containerd}` };
      nodeInfo({ kubeletVersion: `v${release}`, ...runtime });
      api.kubelets.restarted(name);
    },
    staticPods: () => api.kubelets.listedStaticPods(name),
    onContainerd(version) {
      nodeInfo({ containerRuntimeVersion: `containerd://${version}` });
    },
    onControlPlaneUpgraded(release) {
      for (const [component, image] of controlPlaneImages(release)) {
        api.store.modify('pods', 'kube-system', `${component}-${name}`, (pod: Pod) => {
          for (const container of pod.spec?.containers ?? []) container.image = image;
        });
      }
      api.kubelets.replaced(name);
      api.setVersion(release);
      void api.outage(apiServerRestart);
    },
    onAddOnUpgraded(addOn, image) {
      const resource = addOn === 'coredns' ? 'deployments' : 'daemonsets';
      api.store.modify(resource, 'kube-system', addOn, ({ spec }) => {
        for (const container of spec?.template.spec?.containers ?? []) container.image = image;
      });
    },
    onReboot(phase) {
      if (phase === 'down') api.kubelets.powerOff(name);
      else api.kubelets.powerOn(name);
    },
  };
}
