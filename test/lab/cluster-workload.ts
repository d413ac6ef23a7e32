import type { KubeObject, PodSpec } from './api/types.ts';
import type { LabNodeSpec } from './machine.ts';

const namespace = 'apps';

/** Ordinary pods, so that every drain evicts some. Each disruption budget allows one eviction at a time. */
export function workload(nodes: readonly LabNodeSpec[]): KubeObject[] {
  const workers = nodes.filter((n) => n.role === 'worker').map((n) => n.name);
  const [first = nodes[0]?.name ?? '', second = first] = workers;
  return [
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } },
    deployment('web', 6),
    budget('web', { maxUnavailable: 1 }),
    deployment('api', 4, { volumes: [{ name: 'cache', emptyDir: {} }] }),
    budget('api', { minAvailable: '50%' }),
    deployment('worker', 3),
    statefulSet('db', 3),
    budget('db', { minAvailable: 2 }),
    barePod('debug-shell', first, {}),
    barePod('scratch', second, { volumes: [{ name: 'scratch', emptyDir: {} }] }),
    finishedPod('backup-29384756-x7k2p', second),
  ];
}

const container = (name: string) => ({ name, image: `docker.io/library/${name}:1.0.0` });

function template(name: string, extra: Partial<PodSpec> = {}) {
  return {
    metadata: { labels: { app: name } },
    spec: { terminationGracePeriodSeconds: 30, containers: [container(name)], ...extra },
  };
}

function deployment(name: string, replicas: number, extra: Partial<PodSpec> = {}): KubeObject {
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name, namespace, labels: { app: name } },
    spec: { replicas, selector: { matchLabels: { app: name } }, template: template(name, extra) },
  };
}

function statefulSet(name: string, replicas: number): KubeObject {
  return {
    apiVersion: 'apps/v1',
    kind: 'StatefulSet',
    metadata: { name, namespace, labels: { app: name } },
    spec: { replicas, serviceName: name, selector: { matchLabels: { app: name } }, template: template(name) },
  };
}

function budget(app: string, spec: { minAvailable?: number | string; maxUnavailable?: number }): KubeObject {
  return {
    apiVersion: 'policy/v1',
    kind: 'PodDisruptionBudget',
    metadata: { name: app, namespace },
    spec: { ...spec, selector: { matchLabels: { app } } },
  };
}

/** A pod without a controller: nothing recreates it, so a drain needs force. */
function barePod(name: string, nodeName: string, extra: Partial<PodSpec>): KubeObject {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace, labels: { run: name } },
    spec: { nodeName, containers: [container(name)], ...extra },
  };
}

function finishedPod(name: string, nodeName: string): KubeObject {
  const terminated = {
    exitCode: 0,
    reason: 'Completed',
    startedAt: past(3_600_000),
    finishedAt: past(3_500_000),
  };
  const job = 'backup-29384756';
  const status = {
    name: 'backup',
    image: 'docker.io/library/backup:1.0.0',
    imageID: '',
    ready: false,
    restartCount: 0,
  };
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace, creationTimestamp: past(3_600_000), labels: { 'job-name': job } },
    spec: { nodeName, restartPolicy: 'Never', containers: [container('backup')] },
    status: { phase: 'Succeeded', containerStatuses: [{ ...status, state: { terminated } }] },
  };
}

const past = (ms: number): string => new Date(Date.now() - ms).toISOString().replace(/\.\d+Z$/, 'Z');
