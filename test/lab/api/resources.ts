/** One type that the server serves. Discovery, routing, storage and patching all read this table. */
export interface Resource {
  /** API group; empty for the core group. */
  readonly group: string;
  /** Version of the group, such as `v1`. */
  readonly version: string;
  /** Plural; also its name in the store. */
  readonly name: string;
  /** The kind in lower case. */
  readonly singular: string;
  /** Such as `Pod`. */
  readonly kind: string;
  /** Whether its objects are in namespaces. */
  readonly namespaced: boolean;
  /** Such as `status` and `scale`. */
  readonly subresources: readonly Subresource[];
  /** Such as `po`. */
  readonly shortNames: readonly string[];
  /** `all` for resources in `kubectl get all`. */
  readonly categories: readonly string[];
  /** Custom resources support no strategic merge patch and have only the default columns. */
  readonly custom: boolean;
}

/** A subresource of a {@link Resource}. */
export interface Subresource {
  /** Such as `status`. */
  readonly name: string;
  /** Kind of the objects that it reads and writes. */
  readonly kind: string;
  /** Group of that kind. @default that of the resource */
  readonly group?: string;
  /** Version of that group. @default that of the resource */
  readonly version?: string;
  /** RBAC verbs that it supports. */
  readonly verbs: readonly string[];
}

const status = 'status';
const readWrite = ['get', 'patch', 'update'] as const;
const special: Record<string, Omit<Subresource, 'name'>> = {
  scale: { kind: 'Scale', group: 'autoscaling', version: 'v1', verbs: readWrite },
  eviction: { kind: 'Eviction', group: 'policy', version: 'v1', verbs: ['create'] },
  token: { kind: 'TokenRequest', group: 'authentication.k8s.io', version: 'v1', verbs: ['create'] },
  log: { kind: 'Pod', verbs: ['get'] },
  finalize: { kind: 'Namespace', verbs: ['update'] },
};

interface Row {
  readonly kind: string;
  readonly plural?: string;
  readonly cluster?: boolean;
  readonly sub?: readonly string[];
  readonly short?: readonly string[];
  readonly all?: boolean;
  readonly custom?: boolean;
}

function rows(groupVersion: string, list: readonly Row[]): Resource[] {
  const [a = '', b] = groupVersion.split('/');
  const [group, version] = b === undefined ? ['', a] : [a, b];
  return list.map((row) => {
    const singular = row.kind.toLowerCase();
    return {
      group,
      version,
      name: row.plural ?? `${singular}s`,
      singular,
      kind: row.kind,
      namespaced: row.cluster !== true,
      subresources: (row.sub ?? []).map((name) => ({
        name,
        ...(special[name] ?? { kind: row.kind, verbs: readWrite }),
      })),
      shortNames: row.short ?? [],
      categories: row.all === true ? ['all'] : [],
      custom: row.custom === true,
    };
  });
}

/** All types that the server serves. */
export const resources: readonly Resource[] = [
  ...rows('v1', [
    { kind: 'Namespace', cluster: true, sub: [status, 'finalize'], short: ['ns'] },
    { kind: 'Node', cluster: true, sub: [status], short: ['no'] },
    { kind: 'Pod', sub: [status, 'log', 'eviction'], short: ['po'], all: true },
    { kind: 'Service', sub: [status], short: ['svc'], all: true },
    { kind: 'ConfigMap', short: ['cm'] },
    { kind: 'Secret' },
    { kind: 'ServiceAccount', sub: ['token'], short: ['sa'] },
    { kind: 'Event', short: ['ev'] },
    { kind: 'PersistentVolumeClaim', sub: [status], short: ['pvc'] },
    { kind: 'PersistentVolume', cluster: true, sub: [status], short: ['pv'] },
    { kind: 'ReplicationController', sub: [status, 'scale'], short: ['rc'], all: true },
    { kind: 'LimitRange', short: ['limits'] },
    { kind: 'ResourceQuota', sub: [status], short: ['quota'] },
  ]),
  ...rows('apps/v1', [
    { kind: 'Deployment', sub: [status, 'scale'], short: ['deploy'], all: true },
    { kind: 'ReplicaSet', sub: [status, 'scale'], short: ['rs'], all: true },
    { kind: 'DaemonSet', sub: [status], short: ['ds'], all: true },
    { kind: 'StatefulSet', sub: [status, 'scale'], short: ['sts'], all: true },
    { kind: 'ControllerRevision' },
  ]),
  ...rows('batch/v1', [
    { kind: 'Job', sub: [status], all: true },
    { kind: 'CronJob', sub: [status], short: ['cj'], all: true },
  ]),
  ...rows('policy/v1', [{ kind: 'PodDisruptionBudget', sub: [status], short: ['pdb'] }]),
  ...rows('coordination.k8s.io/v1', [{ kind: 'Lease' }]),
  ...rows('rbac.authorization.k8s.io/v1', [
    { kind: 'Role' },
    { kind: 'RoleBinding' },
    { kind: 'ClusterRole', cluster: true },
    { kind: 'ClusterRoleBinding', cluster: true },
  ]),
  ...rows('events.k8s.io/v1', [{ kind: 'Event', short: ['ev'] }]),
  ...rows('scheduling.k8s.io/v1', [
    { kind: 'PriorityClass', plural: 'priorityclasses', cluster: true, short: ['pc'] },
  ]),
  ...rows('networking.k8s.io/v1', [{ kind: 'NetworkPolicy', plural: 'networkpolicies', short: ['netpol'] }]),
  ...rows('storage.k8s.io/v1', [{ kind: 'VolumeAttachment', cluster: true, sub: [status] }]),
  // Without a schema here, as custom resources.
  ...rows('admissionregistration.k8s.io/v1', [
    {
      kind: 'ValidatingAdmissionPolicy',
      plural: 'validatingadmissionpolicies',
      cluster: true,
      sub: [status],
      custom: true,
    },
    { kind: 'ValidatingAdmissionPolicyBinding', cluster: true, custom: true },
  ]),
  ...rows('external-secrets.io/v1', [{ kind: 'ExternalSecret', sub: [status], short: ['es'], custom: true }]),
  ...rows('monitoring.coreos.com/v1', [{ kind: 'PrometheusRule', short: ['promrule'], custom: true }]),
];

/** Resources that answer a query and store nothing. */
export const reviews = [
  { group: 'authorization.k8s.io', name: 'selfsubjectaccessreviews', kind: 'SelfSubjectAccessReview' },
  { group: 'authorization.k8s.io', name: 'subjectaccessreviews', kind: 'SubjectAccessReview' },
  { group: 'authorization.k8s.io', name: 'selfsubjectrulesreviews', kind: 'SelfSubjectRulesReview' },
  { group: 'authentication.k8s.io', name: 'selfsubjectreviews', kind: 'SelfSubjectReview' },
] as const;

export const apiVersionOf = (r: { group: string; version: string }): string =>
  r.group === '' ? r.version : `${r.group}/${r.version}`;

export function findResource(group: string, version: string, name: string): Resource | undefined {
  return resources.find((r) => r.group === group && r.version === version && r.name === name);
}

/** The resource of an object, by its apiVersion and kind. @throws when the lab does not serve it */
export function resourceOf(object: { apiVersion?: string; kind?: string }): Resource {
  const found = resources.find((r) => apiVersionOf(r) === object.apiVersion && r.kind === object.kind);
  if (found === undefined) throw new Error(`the lab serves no ${object.apiVersion} ${object.kind}`);
  return found;
}

/** The resource with this plural. @throws when there is none */
export function resourceNamed(name: string): Resource {
  const found = resources.find((r) => r.name === name);
  if (found === undefined) throw new Error(`the lab stores no ${name}`);
  return found;
}
