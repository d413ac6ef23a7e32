import { randomBytes } from 'node:crypto';
import { stringify } from 'yaml';

/** What the nodes of a cluster share. */
export interface KubeadmOptions {
  /** X.Y.Z */
  readonly release: string;
  /** `host:port` at which every node reaches the API servers. */
  readonly endpoint: string;
  /** Bootstrap token. */
  readonly token: string;
  /** Encrypts the uploaded certificates, which control-plane nodes join with. */
  readonly certificateKey: string;
}

export const newToken = (): string => `${hex(3)}.${hex(8)}`;
export const newCertificateKey = (): string => hex(32);

const hex = (bytes: number): string => randomBytes(bytes).toString('hex');

const api = 'kubeadm.k8s.io/v1beta4';

/** There is no registry: every image is on the nodes already. */
const registration = (address: string) => ({
  criSocket: 'unix:///run/containerd/containerd.sock',
  imagePullPolicy: 'IfNotPresent',
  kubeletExtraArgs: [{ name: 'node-ip', value: address }],
});

/**
 * The kubelet on a node that shares its kernel: cgroup v1, no limits of its own, no eviction for the disk of
 * the machine.
 */
const kubelet = {
  apiVersion: 'kubelet.config.k8s.io/v1beta1',
  kind: 'KubeletConfiguration',
  cgroupDriver: 'cgroupfs',
  failSwapOn: false,
  failCgroupV1: false,
  featureGates: { KubeletInUserNamespace: true },
  evictionHard: { 'imagefs.available': '0%', 'nodefs.available': '0%', 'nodefs.inodesFree': '0%' },
  imageGCHighThresholdPercent: 100,
};

/** The kernel's limits of connections are read-only in a network namespace. */
const proxy = {
  apiVersion: 'kubeproxy.config.k8s.io/v1alpha1',
  kind: 'KubeProxyConfiguration',
  mode: 'iptables',
  conntrack: { maxPerCore: 0, tcpEstablishedTimeout: '0s', tcpCloseWaitTimeout: '0s' },
  oomScoreAdj: 0,
};

/** The file for `kubeadm init --config` on the node with this address. */
export function initFile(
  { release, endpoint, token, certificateKey }: KubeadmOptions,
  address: string,
): string {
  return documents(
    {
      apiVersion: api,
      kind: 'InitConfiguration',
      localAPIEndpoint: { advertiseAddress: address },
      bootstrapTokens: [{ token, ttl: '24h0m0s' }],
      certificateKey,
      nodeRegistration: registration(address),
    },
    {
      apiVersion: api,
      kind: 'ClusterConfiguration',
      kubernetesVersion: `v${release}`,
      controlPlaneEndpoint: endpoint,
      networking: { podSubnet: '10.244.0.0/16', serviceSubnet: '10.96.0.0/16' },
    },
    kubelet,
    proxy,
  );
}

/** The file for `kubeadm join --config` on the node with this address. */
export function joinFile(
  { endpoint, token, certificateKey }: KubeadmOptions,
  address: string,
  controlPlane: boolean,
): string {
  return documents({
    apiVersion: api,
    kind: 'JoinConfiguration',
    discovery: {
      bootstrapToken: { token, apiServerEndpoint: endpoint, unsafeSkipCAVerification: true },
    },
    nodeRegistration: registration(address),
    ...(controlPlane && {
      controlPlane: { localAPIEndpoint: { advertiseAddress: address }, certificateKey },
    }),
  });
}

const documents = (...objects: readonly object[]): string =>
  objects.map((one) => stringify(one)).join('---\n');
