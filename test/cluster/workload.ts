import type { KubeObject } from '../lab/api/types.ts';
import type { KubeadmCluster } from './cluster.ts';

const image = 'docker.io/library/web:1';
const namespace = 'default';

/** A container that serves, and is Ready at once. Its image is on every node. */
export const web = {
  name: 'web',
  image,
  imagePullPolicy: 'IfNotPresent',
  readinessProbe: { httpGet: { path: '/', port: 8080 }, periodSeconds: 2 },
  resources: { requests: { cpu: '10m', memory: '16Mi' } },
  // Serves until no proxy sends it new connections.
  lifecycle: { preStop: { sleep: { seconds: 3 } } },
};

const template = (app: string) => ({
  metadata: { labels: { app } },
  spec: {
    terminationGracePeriodSeconds: 10,
    topologySpreadConstraints: [
      {
        maxSkew: 1,
        topologyKey: 'kubernetes.io/hostname',
        whenUnsatisfiable: 'ScheduleAnyway',
        labelSelector: { matchLabels: { app } },
      },
    ],
    containers: [web],
  },
});

const selector = (app: string) => ({ matchLabels: { app } });

/** A Deployment with a budget behind a Service, a StatefulSet and a DaemonSet, as people have them. */
const objects: readonly KubeObject[] = [
  {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: 'web', namespace },
    spec: { replicas: 3, selector: selector('web'), template: template('web') },
  },
  {
    apiVersion: 'policy/v1',
    kind: 'PodDisruptionBudget',
    metadata: { name: 'web', namespace },
    spec: { minAvailable: 2, selector: selector('web') },
  },
  {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'web', namespace },
    spec: { selector: { app: 'web' }, ports: [{ port: 80, targetPort: 8080 }] },
  },
  {
    apiVersion: 'apps/v1',
    kind: 'StatefulSet',
    metadata: { name: 'store', namespace },
    spec: { replicas: 2, serviceName: 'store', selector: selector('store'), template: template('store') },
  },
  {
    apiVersion: 'apps/v1',
    kind: 'DaemonSet',
    metadata: { name: 'agent', namespace },
    spec: { selector: selector('agent'), template: template('agent') },
  },
];

/** Starts the workload. Resolves with the URL of its Service when every pod is Ready. */
export async function startWorkload(cluster: KubeadmCluster): Promise<string> {
  await cluster.rest.create(objects);
  await cluster.ready();
  const { spec } = await cluster.rest.get(`/api/v1/namespaces/${namespace}/services/web`);
  return `http://${spec.clusterIP}/`;
}
