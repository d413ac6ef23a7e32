import type { ConfigMap, Lease, Namespace, ReplicaSet, StatefulSet, Stored } from '../types.ts';
import {
  cronJobCells,
  daemonSetCells,
  deploymentCells,
  eventCells,
  images,
  jobCells,
  nodeCells,
  pdbCells,
  selectorText,
} from './cells.ts';
import { age } from './duration.ts';
import { podCells } from './pod.ts';

/** Columns of a resource. Those in `wide` are shown with `-o wide` only. */
interface TableShape {
  readonly columns: readonly string[];
  readonly wide?: readonly string[];
  // biome-ignore lint/suspicious/noExplicitAny: each function has a parameter of its resource's type
  readonly cells: (object: any) => unknown[];
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
 * A `meta.k8s.io/v1` Table, as kubectl requests it.
 *
 * @param include what each row contains: `Metadata`, `Object` or `None`
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
