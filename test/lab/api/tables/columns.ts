import type {
  ConfigMap,
  CoreEvent,
  CronJob,
  DaemonSet,
  Deployment,
  Job,
  Lease,
  Namespace,
  Node,
  PodDisruptionBudget,
  ReplicaSet,
  StatefulSet,
  Stored,
} from '../types.ts';
import { age, humanDuration } from './duration.ts';
import { podCells } from './pod.ts';

/** Column names; those after `wide` are shown with `-o wide` only. */
interface TableShape {
  readonly columns: readonly string[];
  readonly wide?: readonly string[];
  // biome-ignore lint/suspicious/noExplicitAny: each row knows its own type
  readonly cells: (object: any) => unknown[];
}

const none = '<none>';
const join = (values: readonly (string | undefined)[]): string =>
  values.length === 0 ? none : values.map((v) => v ?? '').join(',');

function nodeCells(node: Node): unknown[] {
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
const images = (o: Template): [string, string] => {
  const containers = o.spec?.template?.spec?.containers ?? [];
  return [join(containers.map((c) => c.name)), join(containers.map((c) => c.image))];
};
const selectorText = (labels: Record<string, string> | undefined): string =>
  join(Object.entries(labels ?? {}).map(([k, v]) => `${k}=${v}`));

function deploymentCells(d: Deployment): unknown[] {
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

function jobCells(job: Job): unknown[] {
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

function cronJobCells(c: CronJob): unknown[] {
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

function pdbCells({ metadata, spec, status }: PodDisruptionBudget): unknown[] {
  return [
    metadata.name,
    spec?.minAvailable ?? 'N/A',
    spec?.maxUnavailable ?? 'N/A',
    status?.disruptionsAllowed ?? 0,
    age(metadata.creationTimestamp),
  ];
}

function eventCells(e: CoreEvent): unknown[] {
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

function daemonSetCells(d: DaemonSet): unknown[] {
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

const shapes: Readonly<Record<string, TableShape>> = {
  nodes: {
    columns: ['Name', 'Status', 'Roles', 'Age', 'Version'],
    wide: ['Internal-IP', 'External-IP', 'OS-Image', 'Kernel-Version', 'Container-Runtime'],
    cells: nodeCells,
  },
  pods: {
    columns: ['Name', 'Ready', 'Status', 'Restarts', 'Age'],
    wide: ['IP', 'Node', 'Nominated Node', 'Readiness Gates'],
    cells: podCells,
  },
  deployments: {
    columns: ['Name', 'Ready', 'Up-to-date', 'Available', 'Age'],
    wide: ['Containers', 'Images', 'Selector'],
    cells: deploymentCells,
  },
  replicasets: {
    columns: ['Name', 'Desired', 'Current', 'Ready', 'Age'],
    wide: ['Containers', 'Images', 'Selector'],
    cells: (r: ReplicaSet) => [
      r.metadata.name,
      r.spec?.replicas ?? 1,
      r.status?.replicas ?? 0,
      r.status?.readyReplicas ?? 0,
      age(r.metadata.creationTimestamp),
      ...images(r),
      selectorText(r.spec?.selector.matchLabels),
    ],
  },
  statefulsets: {
    columns: ['Name', 'Ready', 'Age'],
    wide: ['Containers', 'Images'],
    cells: (s: StatefulSet) => [
      s.metadata.name,
      `${s.status?.readyReplicas ?? 0}/${s.spec?.replicas ?? 1}`,
      age(s.metadata.creationTimestamp),
      ...images(s),
    ],
  },
  daemonsets: {
    columns: ['Name', 'Desired', 'Current', 'Ready', 'Up-to-date', 'Available', 'Node Selector', 'Age'],
    wide: ['Containers', 'Images', 'Selector'],
    cells: daemonSetCells,
  },
  jobs: {
    columns: ['Name', 'Status', 'Completions', 'Duration', 'Age'],
    wide: ['Containers', 'Images', 'Selector'],
    cells: jobCells,
  },
  cronjobs: {
    columns: ['Name', 'Schedule', 'Timezone', 'Suspend', 'Active', 'Last Schedule', 'Age'],
    wide: ['Containers', 'Images', 'Selector'],
    cells: cronJobCells,
  },
  namespaces: {
    columns: ['Name', 'Status', 'Age'],
    cells: (n: Namespace) => [
      n.metadata.name,
      n.status?.phase ?? 'Active',
      age(n.metadata.creationTimestamp),
    ],
  },
  leases: {
    columns: ['Name', 'Holder', 'Age'],
    cells: (l: Lease) => [l.metadata.name, l.spec?.holderIdentity ?? '', age(l.metadata.creationTimestamp)],
  },
  configmaps: {
    columns: ['Name', 'Data', 'Age'],
    cells: (c: ConfigMap) => [
      c.metadata.name,
      Object.keys(c.data ?? {}).length + Object.keys(c.binaryData ?? {}).length,
      age(c.metadata.creationTimestamp),
    ],
  },
  poddisruptionbudgets: {
    columns: ['Name', 'Min Available', 'Max Unavailable', 'Allowed Disruptions', 'Age'],
    cells: pdbCells,
  },
  events: {
    columns: ['Last Seen', 'Type', 'Reason', 'Object', 'Message'],
    wide: ['Subobject', 'Source', 'First Seen', 'Count', 'Name'],
    cells: eventCells,
  },
};

const generic: TableShape = {
  columns: ['Name', 'Age'],
  cells: (o: Stored) => [o.metadata.name, age(o.metadata.creationTimestamp)],
};
const numeric = new Set([
  'Desired',
  'Current',
  'Up-to-date',
  'Available',
  'Data',
  'Active',
  'Allowed Disruptions',
]);

function definition(name: string, priority: number) {
  return {
    name,
    type: numeric.has(name) ? 'integer' : 'string',
    format: name === 'Name' ? 'name' : '',
    description: name,
    priority,
  };
}

/**
 * A `meta.k8s.io/v1` Table as kubectl asks for it.
 *
 * @param include what each row carries: the metadata, the object, or nothing.
 */
export function table(resource: string, objects: readonly Stored[], version: string, include: string) {
  const shape = shapes[resource] ?? generic;
  const wide = shape.wide ?? [];
  const embedded = (o: Stored) => {
    if (include === 'None') return {};
    if (include === 'Object') return { object: o };
    return { object: { kind: 'PartialObjectMetadata', apiVersion: 'meta.k8s.io/v1', metadata: o.metadata } };
  };
  return {
    kind: 'Table',
    apiVersion: 'meta.k8s.io/v1',
    metadata: { resourceVersion: version },
    columnDefinitions: [...shape.columns.map((c) => definition(c, 0)), ...wide.map((c) => definition(c, 1))],
    rows: objects.map((o) => ({ cells: shape.cells(o), ...embedded(o) })),
  };
}
