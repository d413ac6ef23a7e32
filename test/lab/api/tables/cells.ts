import type { CoreEvent, CronJob, DaemonSet, Deployment, Job, Node, PodDisruptionBudget } from '../types.ts';
import { age, humanDuration } from './duration.ts';

const none = '<none>';
export const join = (values: readonly (string | undefined)[]): string =>
  values.length === 0 ? none : values.map((v) => v ?? '').join(',');

export function nodeCells(node: Node): unknown[] {
  const ready = node.status?.conditions?.find((c) => c.type === 'Ready');
  const state = ready === undefined ? 'Unknown' : ready.status === 'True' ? 'Ready' : 'NotReady';
  const prefix = 'node-role.kubernetes.io/';
  const roles = Object.keys(node.metadata.labels ?? {}).filter((l) => l.startsWith(prefix));
  const address = (type: string) => node.status?.addresses?.find((a) => a.type === type)?.address ?? none;
  const info = node.status?.nodeInfo;
  return [
    node.metadata.name,
    node.spec?.unschedulable === true ? `${state},SchedulingDisabled` : state,
    join(roles.map((r) => r.slice(prefix.length)).sort()),
    age(node.metadata.creationTimestamp),
    info?.kubeletVersion ?? '',
    address('InternalIP'),
    address('ExternalIP'),
    info?.osImage ?? '<unknown>',
    info?.kernelVersion ?? '<unknown>',
    info?.containerRuntimeVersion ?? '<unknown>',
  ];
}

interface Template {
  readonly spec?: {
    readonly template?: {
      readonly spec?: { readonly containers: readonly { name: string; image?: string }[] };
    };
  };
}
export const images = (o: Template): [string, string] => {
  const containers = o.spec?.template?.spec?.containers ?? [];
  return [join(containers.map((c) => c.name)), join(containers.map((c) => c.image))];
};
export const selectorText = (labels: Record<string, string> | undefined): string =>
  join(Object.entries(labels ?? {}).map(([k, v]) => `${k}=${v}`));

export function deploymentCells(d: Deployment): unknown[] {
  const { readyReplicas = 0, updatedReplicas = 0, availableReplicas = 0 } = d.status ?? {};
  return [
    d.metadata.name,
    `${readyReplicas}/${d.spec?.replicas ?? 1}`,
    updatedReplicas,
    availableReplicas,
    age(d.metadata.creationTimestamp),
    ...images(d),
    selectorText(d.spec?.selector.matchLabels),
  ];
}

export function jobCells(job: Job): unknown[] {
  const { succeeded = 0, startTime, completionTime, conditions = [] } = job.status ?? {};
  const is = (type: string) => conditions.some((c) => c.type === type && c.status === 'True');
  const ended = is('Complete') ? 'Complete' : is('Failed') ? 'Failed' : undefined;
  const underway =
    job.metadata.deletionTimestamp !== undefined
      ? 'Terminating'
      : is('Suspended')
        ? 'Suspended'
        : is('FailureTarget')
          ? 'FailureTarget'
          : is('SuccessCriteriaMet')
            ? 'SuccessCriteriaMet'
            : 'Running';
  const end = completionTime === undefined ? Date.now() : Date.parse(completionTime);
  return [
    job.metadata.name,
    ended ?? underway,
    `${succeeded}/${job.spec?.completions ?? 1}`,
    startTime === undefined ? '' : humanDuration(end - Date.parse(startTime)),
    age(job.metadata.creationTimestamp),
    ...images(job as Template),
    selectorText(job.spec?.selector?.matchLabels),
  ];
}

export function cronJobCells(c: CronJob): unknown[] {
  const last = c.status?.lastScheduleTime;
  return [
    c.metadata.name,
    c.spec?.schedule,
    c.spec?.timeZone ?? none,
    c.spec?.suspend === true ? 'True' : 'False',
    c.status?.active?.length ?? 0,
    last === undefined || last === null ? none : age(last),
    age(c.metadata.creationTimestamp),
    ...images({ spec: c.spec?.jobTemplate.spec as Template['spec'] } as Template),
    none,
  ];
}

export function pdbCells({ metadata, spec, status }: PodDisruptionBudget): unknown[] {
  return [
    metadata.name,
    spec?.minAvailable ?? 'N/A',
    spec?.maxUnavailable ?? 'N/A',
    status?.disruptionsAllowed ?? 0,
    age(metadata.creationTimestamp),
  ];
}

export function eventCells(e: CoreEvent): unknown[] {
  const last = e.lastTimestamp ?? e.eventTime ?? e.firstTimestamp;
  const interval =
    (e.count ?? 1) > 1 ? `${age(last)} (x${e.count} over ${age(e.firstTimestamp)})` : age(last);
  const object = e.involvedObject;
  return [
    interval,
    e.type ?? '',
    e.reason ?? '',
    `${(object.kind ?? '').toLowerCase()}/${object.name}`,
    (e.message ?? '').trim(),
    object.fieldPath ?? '',
    e.source?.component ?? e.reportingComponent ?? '',
    age(e.firstTimestamp ?? e.eventTime),
    e.count ?? 1,
    e.metadata.name,
  ];
}

export function daemonSetCells(d: DaemonSet): unknown[] {
  const s = d.status;
  return [
    d.metadata.name,
    s?.desiredNumberScheduled ?? 0,
    s?.currentNumberScheduled ?? 0,
    s?.numberReady ?? 0,
    s?.updatedNumberScheduled ?? 0,
    s?.numberAvailable ?? 0,
    selectorText(d.spec?.template.spec?.nodeSelector),
    age(d.metadata.creationTimestamp),
    ...images(d),
    selectorText(d.spec?.selector.matchLabels),
  ];
}
