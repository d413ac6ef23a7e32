import type { Resource } from '../resources.ts';
import type {
  Container,
  CronJob,
  Deployment,
  Job,
  KubeObject,
  Pod,
  PodDisruptionBudget,
  PodSpec,
  Stored,
} from '../types.ts';

/** Sets the fields of `target` that are undefined. */
function fill(target: object, values: Record<string, unknown>): void {
  for (const [field, value] of Object.entries(values)) {
    if (Reflect.get(target, field) === undefined) Reflect.set(target, field, value);
  }
}

function podSpec(spec: PodSpec): void {
  fill(spec, {
    restartPolicy: 'Always',
    terminationGracePeriodSeconds: 30,
    dnsPolicy: 'ClusterFirst',
    securityContext: {},
    schedulerName: 'default-scheduler',
  });
  for (const container of [...(spec.initContainers ?? []), ...(spec.containers ?? [])])
    containerDefaults(container);
  for (const volume of spec.volumes ?? []) {
    for (const source of [volume.configMap, volume.secret, volume.projected]) {
      if (source !== undefined) fill(source, { defaultMode: 0o644 });
    }
  }
}

function containerDefaults(container: Container): void {
  const latest = /:latest$/.test(container.image ?? '') || !/:[^/]+$/.test(container.image ?? '');
  fill(container, {
    resources: {},
    terminationMessagePath: '/dev/termination-log',
    terminationMessagePolicy: 'File',
    imagePullPolicy: latest ? 'Always' : 'IfNotPresent',
  });
  for (const port of container.ports ?? []) fill(port, { protocol: 'TCP' });
  for (const variable of container.env ?? []) {
    const ref = variable.valueFrom?.fieldRef;
    if (ref !== undefined) fill(ref, { apiVersion: 'v1' });
  }
}

function pod(object: Pod): void {
  const spec = object.spec;
  if (spec === undefined) return;
  podSpec(spec);
  fill(spec, {
    serviceAccountName: 'default',
    enableServiceLinks: true,
    preemptionPolicy: 'PreemptLowerPriority',
    priority: 0,
  });
  spec.serviceAccount = spec.serviceAccountName;
  const tolerations = spec.tolerations ?? [];
  for (const state of ['not-ready', 'unreachable']) {
    const key = `node.kubernetes.io/${state}`;
    const covered = tolerations.some(
      (t) => (t.key === key || t.key === undefined) && (t.effect === 'NoExecute' || t.effect === undefined),
    );
    if (!covered) tolerations.push({ key, operator: 'Exists', effect: 'NoExecute', tolerationSeconds: 300 });
  }
  spec.tolerations = tolerations;
}

function workload(object: Stored): void {
  const spec = object.spec as Deployment['spec'];
  if (spec === undefined) return;
  if (object.kind !== 'DaemonSet') fill(spec, { replicas: 1 });
  if (object.kind !== 'ReplicaSet') fill(spec, { revisionHistoryLimit: 10 });
  if (object.kind === 'Deployment') {
    fill(spec, {
      strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: '25%', maxUnavailable: '25%' } },
      progressDeadlineSeconds: 600,
    });
  } else if (object.kind !== 'ReplicaSet') {
    fill(spec, { updateStrategy: { type: 'RollingUpdate' } });
  }
  if (spec.template?.spec !== undefined) podSpec(spec.template.spec);
}

function jobSpec(spec: Job['spec']): void {
  if (spec === undefined) return;
  fill(spec, {
    parallelism: 1,
    completions: 1,
    completionMode: 'NonIndexed',
    backoffLimit: 6,
    suspend: false,
    podReplacementPolicy: spec.podFailurePolicy === undefined ? 'TerminatingOrFailed' : 'Failed',
  });
  for (const rule of spec.podFailurePolicy?.rules ?? []) {
    for (const condition of rule.onPodConditions ?? []) fill(condition, { status: 'True' });
  }
  if (spec.template?.spec !== undefined) podSpec(spec.template.spec);
}

/**
 * Defaults of a Job, including the selector and labels that bind its pods to its uid. The uid must be set.
 */
function job(object: Job): void {
  const spec = object.spec;
  if (spec === undefined) return;
  jobSpec(spec);
  const { uid, name } = object.metadata;
  const template = spec.template;
  if (spec.manualSelector === true || template === undefined) return;
  spec.selector ??= { matchLabels: { 'batch.kubernetes.io/controller-uid': uid } };
  template.metadata ??= {};
  template.metadata.labels = {
    ...template.metadata.labels,
    'batch.kubernetes.io/controller-uid': uid,
    'batch.kubernetes.io/job-name': name,
    'controller-uid': uid,
    'job-name': name,
  };
  object.metadata.labels ??= { ...template.metadata.labels };
}

function cronJob(object: CronJob): void {
  if (object.spec === undefined) return;
  fill(object.spec, {
    concurrencyPolicy: 'Allow',
    suspend: false,
    successfulJobsHistoryLimit: 3,
    failedJobsHistoryLimit: 1,
  });
  const template = object.spec.jobTemplate?.spec?.template?.spec;
  if (template !== undefined) podSpec(template);
}

/** Sets the API server's defaults. May be called again on the same object. */
export function applyDefaults(resource: Resource, object: Stored): void {
  switch (resource.name) {
    case 'pods':
      pod(object as Pod);
      return;
    case 'deployments':
    case 'replicasets':
    case 'daemonsets':
    case 'statefulsets':
      workload(object);
      return;
    case 'jobs':
      job(object as Job);
      return;
    case 'cronjobs':
      cronJob(object as CronJob);
      return;
    case 'poddisruptionbudgets':
      (object as PodDisruptionBudget).spec ??= {};
      return;
    case 'secrets':
      secret(object);
      return;
    case 'namespaces':
      if (object.metadata.deletionTimestamp === undefined) object.spec = { finalizers: ['kubernetes'] };
      object.status ??= { phase: 'Active' };
      object.metadata.labels = {
        ...object.metadata.labels,
        'kubernetes.io/metadata.name': object.metadata.name,
      };
      return;
    default:
      return;
  }
}

function secret(object: KubeObject): void {
  object.type ??= 'Opaque';
  const text = object.stringData as Record<string, string> | undefined;
  if (text === undefined) return;
  const encoded = Object.entries(text).map(([k, v]) => [k, Buffer.from(v).toString('base64')]);
  object.data = { ...(object.data as object | undefined), ...Object.fromEntries(encoded) };
  delete object.stringData;
}
