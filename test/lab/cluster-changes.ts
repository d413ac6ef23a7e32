import type { LabApi } from './api/index.ts';
import { controlPlaneImages } from './cluster-system.ts';

const namespace = 'kube-system';

/** What the API shows after `kubeadm upgrade` on a control-plane node: its static pods run the release's images. */
export function controlPlaneUpgraded(api: LabApi, node: string, release: string): void {
  for (const [component, image] of controlPlaneImages(release)) {
    const mirror = api.store.get('pods', namespace, `${component}-${node}`);
    if (mirror === undefined || mirror.spec?.containers[0]?.image === image) continue;
    const hash = Buffer.from(`${component}-${image}`).toString('hex').slice(0, 32);
    const startedAt = new Date().toISOString().replace(/\.\d+Z$/, 'Z');
    const { uid: _, resourceVersion: __, creationTimestamp: ___, ...metadata } = mirror.metadata;
    const [status] = mirror.status?.containerStatuses ?? [];
    api.store.remove('pods', namespace, mirror.metadata.name);
    api.apply([
      {
        ...mirror,
        metadata: {
          ...metadata,
          annotations: {
            ...metadata.annotations,
            'kubernetes.io/config.hash': hash,
            'kubernetes.io/config.mirror': hash,
          },
        },
        spec: { ...mirror.spec, containers: [{ name: component, image }] },
        status: {
          ...mirror.status,
          startTime: startedAt,
          containerStatuses: [{ ...status, image, imageID: image, state: { running: { startedAt } } }],
        },
      },
    ]);
  }
}

/** What kubeadm leaves in the cluster besides static pods: its configuration and kube-proxy, which then rolls. */
export function addonsUpgraded(api: LabApi, release: string): void {
  api.store.modify('configmaps', namespace, 'kubeadm-config', ({ data }) => {
    const text = data?.ClusterConfiguration;
    if (data === undefined || text === undefined) return;
    data.ClusterConfiguration = text.replace(/kubernetesVersion: v\S+/, `kubernetesVersion: v${release}`);
  });
  api.store.modify('daemonsets', namespace, 'kube-proxy', ({ spec, metadata }) => {
    const [container] = spec?.template.spec?.containers ?? [];
    if (container === undefined || container.image === `registry.k8s.io/kube-proxy:v${release}`) return;
    container.image = `registry.k8s.io/kube-proxy:v${release}`;
    metadata.generation = (metadata.generation ?? 1) + 1;
  });
}

/** What the node's own kubelet reports after its restart. */
export function kubeletReports(
  api: LabApi,
  node: string,
  report: { release?: string; containerd?: string },
): void {
  api.store.modify('nodes', undefined, node, ({ status }) => {
    const info = status?.nodeInfo;
    if (info === undefined) return;
    if (report.release !== undefined) {
      info.kubeletVersion = `v${report.release}`;
      info.kubeProxyVersion = `v${report.release}`;
    }
    if (report.containerd !== undefined) info.containerRuntimeVersion = `containerd://${report.containerd}`;
  });
}
