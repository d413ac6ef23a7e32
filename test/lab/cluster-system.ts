import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseAllDocuments } from 'yaml';
import type { KubeObject } from './api/types.ts';
import type { LabNodeSpec } from './machine.ts';
import { stubs } from './nodes/filesystem.ts';

const namespace = 'kube-system';

/** The kube-system of a kubeadm cluster: static pods, CoreDNS, kube-proxy and a network add-on. */
export function kubeSystem(nodes: readonly LabNodeSpec[], version: string): KubeObject[] {
  const masters = nodes.filter((n) => n.role === 'control-plane');
  const accounts = ['coredns', 'kube-proxy', 'flannel'].map((name) => ({
    apiVersion: 'v1',
    kind: 'ServiceAccount',
    metadata: { name, namespace },
  }));
  return [
    ...accounts,
    ...masters.flatMap((n) =>
      controlPlaneImages(version).map(([component, image]) => mirrorPod(n, component, image)),
    ),
    ...addOn('coredns', version),
    budget('coredns', { 'k8s-app': 'kube-dns' }),
    ...addOn('kube-proxy', version),
    daemonSet('kube-flannel', 'ghcr.io/flannel-io/flannel:v0.27.3', 'flannel'),
    {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'kubeadm-config', namespace },
      data: {
        ClusterConfiguration: [
          'apiVersion: kubeadm.k8s.io/v1beta4',
          'kind: ClusterConfiguration',
          'clusterName: kubernetes',
          `kubernetesVersion: v${version}`,
          '',
        ].join('\n'),
      },
    },
  ];
}

/** The components of a control-plane node and their images. */
export function controlPlaneImages(version: string): [component: string, image: string][] {
  // Never older than kubeadm of that release installs.
  const etcd = Number(version.split('.')[1]) < 35 ? '3.6.5-0' : '3.6.6-0';
  const own = ['kube-apiserver', 'kube-controller-manager', 'kube-scheduler'];
  return [
    ['etcd', `registry.k8s.io/etcd:${etcd}`],
    ...own.map((c): [string, string] => [c, `registry.k8s.io/${c}:v${version}`]),
  ];
}

/** The command of a component. That of etcd is as kubeadm 1.34 writes it (`getEtcdCommand`). */
function commandOf(component: string, { name, address }: LabNodeSpec): string[] {
  if (component !== 'etcd') return [component];
  const pki = '/etc/kubernetes/pki/etcd';
  return [
    'etcd',
    `--advertise-client-urls=https://${address}:2379`,
    `--cert-file=${pki}/server.crt`,
    '--client-cert-auth=true',
    '--data-dir=/var/lib/etcd',
    '--feature-gates=InitialCorruptCheck=true',
    `--initial-advertise-peer-urls=https://${address}:2380`,
    `--initial-cluster=${name}=https://${address}:2380`,
    `--key-file=${pki}/server.key`,
    `--listen-client-urls=https://127.0.0.1:2379,https://${address}:2379`,
    '--listen-metrics-urls=http://127.0.0.1:2381',
    `--listen-peer-urls=https://${address}:2380`,
    `--name=${name}`,
    `--peer-cert-file=${pki}/peer.crt`,
    '--peer-client-cert-auth=true',
    `--peer-key-file=${pki}/peer.key`,
    `--peer-trusted-ca-file=${pki}/ca.crt`,
    '--snapshot-count=10000',
    `--trusted-ca-file=${pki}/ca.crt`,
    '--watch-progress-notify-interval=5s',
  ];
}

/** What the kubelet asks of a component (staticpod/utils.go of kubeadm 1.34). */
function probesOf(component: string, address: string): object {
  const ports: Readonly<Record<string, number>> = {
    etcd: 2381,
    'kube-apiserver': 6443,
    'kube-controller-manager': 10257,
    'kube-scheduler': 10259,
  };
  const probe = (path: string) => ({
    httpGet: {
      host: component === 'kube-apiserver' ? address : '127.0.0.1',
      path,
      port: 'probe-port',
      scheme: component === 'etcd' ? 'HTTP' : 'HTTPS',
    },
  });
  return {
    ports: [{ name: 'probe-port', containerPort: ports[component] ?? 0, protocol: 'TCP' }],
    ...(component === 'kube-controller-manager'
      ? { startupProbe: probe('/healthz') }
      : { readinessProbe: probe('/readyz'), startupProbe: probe('/livez') }),
  };
}

function mirrorPod(node: LabNodeSpec, component: string, image: string): KubeObject {
  const startedAt = new Date(Date.now() - 2 * 86_400_000).toISOString().replace(/\.\d+Z$/, 'Z');
  const hash = Buffer.from(`${component}-${image}`).toString('hex').slice(0, 32);
  const status = {
    name: component,
    image,
    imageID: image,
    ready: true,
    started: true,
    restartCount: 0,
    lastState: {},
    state: { running: { startedAt } },
  };
  const conditions = [
    'PodReadyToStartContainers',
    'Initialized',
    'Ready',
    'ContainersReady',
    'PodScheduled',
  ].map((type) => ({ type, status: 'True', lastTransitionTime: startedAt }));
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name: `${component}-${node.name}`,
      namespace,
      creationTimestamp: startedAt,
      labels: { component, tier: 'control-plane' },
      annotations: {
        'kubernetes.io/config.hash': hash,
        'kubernetes.io/config.mirror': hash,
        'kubernetes.io/config.source': 'file',
      },
    },
    spec: {
      nodeName: node.name,
      hostNetwork: true,
      priorityClassName: 'system-node-critical',
      tolerations: [{ effect: 'NoExecute', operator: 'Exists' }],
      containers: [
        {
          name: component,
          image,
          command: commandOf(component, node),
          ...probesOf(component, node.address),
        },
      ],
    },
    status: {
      phase: 'Running',
      hostIP: node.address,
      podIP: node.address,
      startTime: startedAt,
      conditions,
      containerStatuses: [status],
    },
  };
}

/** The objects of an add-on as kubeadm writes them; the double of kubeadm prints the same. */
function addOn(name: 'coredns' | 'kube-proxy', version: string): KubeObject[] {
  const text = readFileSync(join(stubs, 'add-ons', `${name}.yaml`), 'utf8').replace(
    'vRELEASE',
    `v${version}`,
  );
  return parseAllDocuments(text).map((document) => document.toJS() as KubeObject);
}

function daemonSet(name: string, image: string, serviceAccountName = name): KubeObject {
  const labels = { 'k8s-app': name };
  return {
    apiVersion: 'apps/v1',
    kind: 'DaemonSet',
    metadata: { name, namespace, labels },
    spec: {
      selector: { matchLabels: labels },
      template: {
        metadata: { labels },
        spec: {
          serviceAccountName,
          hostNetwork: true,
          nodeSelector: { 'kubernetes.io/os': 'linux' },
          tolerations: [{ operator: 'Exists' }],
          containers: [{ name, image }],
        },
      },
    },
  };
}

function budget(name: string, matchLabels: Record<string, string>): KubeObject {
  return {
    apiVersion: 'policy/v1',
    kind: 'PodDisruptionBudget',
    metadata: { name, namespace },
    spec: { maxUnavailable: 1, selector: { matchLabels } },
  };
}
