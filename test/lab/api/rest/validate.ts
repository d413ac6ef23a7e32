import { apiVersionOf, type Resource } from '../resources.ts';
import { checkShape, withoutUnknown } from '../schema/check.ts';
import { badRequest, type FieldError, invalid, invalidValue, required } from '../status.ts';
import { same } from '../store.ts';
import type {
  CoreEvent,
  CronJob,
  Job,
  KubeObject,
  Lease,
  Node,
  Pod,
  PodDisruptionBudget,
  PodSpec,
  Stored,
} from '../types.ts';
import { budgetErrors } from './validate-budget.ts';
import { validateJob } from './validate-job.ts';
import { podSpecErrors } from './validate-pod.ts';

const dnsSubdomain = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;
const dnsLabel = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/;
const qualifiedName = /^([a-z0-9]([-a-z0-9.]*[a-z0-9])?\/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/;
const labelValue = /^(([A-Za-z0-9][-A-Za-z0-9_.]{0,61})?[A-Za-z0-9])?$/;
const subdomainHelp =
  "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character";
const labelHelp =
  "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character, and be no more than 63 characters";

function nameErrors(r: Resource, name: string): FieldError[] {
  if (name === '') return [required('metadata.name', 'name or generateName is required')];
  const field = 'metadata.name';
  if (r.group === 'rbac.authorization.k8s.io') {
    return /[/%]/.test(name) ? [invalidValue(field, name, "may not contain '/' or '%'")] : [];
  }
  const pattern = r.name === 'namespaces' ? dnsLabel : dnsSubdomain;
  const limit = { namespaces: 63, cronjobs: 52, jobs: 63 }[r.name] ?? 253;
  const errors = pattern.test(name) ? [] : [invalidValue(field, name, subdomainHelp)];
  return name.length > limit
    ? [...errors, invalidValue(field, name, `must be no more than ${limit} characters`)]
    : errors;
}

function metadataErrors(object: Stored): FieldError[] {
  const { labels = {}, annotations = {} } = object.metadata;
  const keys = [
    ...Object.keys(labels).map((k) => ['labels', k]),
    ...Object.keys(annotations).map((k) => ['annotations', k]),
  ];
  return [
    ...keys
      .filter(([, k]) => !qualifiedName.test((k ?? '').toLowerCase()))
      .map(([where, k]) =>
        invalidValue(`metadata.${where}`, k, 'name part must consist of alphanumeric characters'),
      ),
    ...Object.values(labels)
      .filter((v) => !labelValue.test(v))
      .map((v) => invalidValue('metadata.labels', v, labelHelp)),
  ];
}

/**
 * Checks the object against its type. Drops unknown fields, or refuses them when strict.
 * @throws StatusError 400 when Go could not decode it
 */
export function decodable<T extends KubeObject>(r: Resource, object: T, strict: boolean): T {
  const { mismatches, unknown } = checkShape(apiVersionOf(r), r.kind, object);
  const refuse = (why: string) =>
    badRequest(`${r.kind} in version "${r.version}" cannot be handled as a ${r.kind}: ${why}`);
  if (mismatches[0] !== undefined) throw refuse(mismatches[0]);
  if (unknown.length === 0) return object;
  if (strict)
    throw refuse(
      `strict decoding error: ${unknown.map((f) => `unknown field ${JSON.stringify(f)}`).join(', ')}`,
    );
  return withoutUnknown(object, unknown);
}

function leaseErrors({ spec }: Lease): FieldError[] {
  const seconds = spec?.leaseDurationSeconds;
  const transitions = spec?.leaseTransitions;
  return [
    ...(typeof seconds === 'number' && seconds <= 0
      ? [invalidValue('spec.leaseDurationSeconds', seconds, 'must be greater than 0')]
      : []),
    ...(typeof transitions === 'number' && transitions < 0
      ? [invalidValue('spec.leaseTransitions', transitions, 'must be greater than or equal to 0')]
      : []),
  ];
}

function eventErrors(event: CoreEvent): FieldError[] {
  const namespace = event.involvedObject?.namespace ?? '';
  const wanted = namespace === '' ? 'default' : namespace;
  return event.metadata.namespace === wanted
    ? []
    : [invalidValue('involvedObject.namespace', namespace, 'does not match event.namespace')];
}

function taintErrors(node: Node): FieldError[] {
  const effects = ['NoSchedule', 'PreferNoSchedule', 'NoExecute'];
  return (node.spec?.taints ?? [])
    .map((t, i) => [t, i] as const)
    .filter(([t]) => !effects.includes(t.effect))
    .map(([t, i]) => ({
      field: `metadata.taints[${i}].effect`,
      reason: 'FieldValueNotSupported',
      message: `Unsupported value: ${JSON.stringify(t.effect)}: supported values: ${effects.map((e) => JSON.stringify(e)).join(', ')}`,
    }));
}

function cronJobErrors({ spec }: CronJob): FieldError[] {
  const schedule = (spec?.schedule ?? '') === '' ? [required('spec.schedule')] : [];
  return [...schedule, ...validateJob(spec?.jobTemplate?.spec, 'spec.jobTemplate.spec')];
}

function kindErrors(r: Resource, object: Stored): FieldError[] {
  switch (r.name) {
    case 'pods':
      return podSpecErrors((object as Pod).spec, 'spec');
    case 'nodes':
      return taintErrors(object as Node);
    case 'jobs':
      return validateJob((object as Job).spec, 'spec');
    case 'cronjobs':
      return cronJobErrors(object as CronJob);
    case 'leases':
      return leaseErrors(object as Lease);
    case 'events':
      return eventErrors(object as CoreEvent);
    case 'poddisruptionbudgets':
      return budgetErrors(object as PodDisruptionBudget);
    case 'deployments':
    case 'replicasets':
    case 'daemonsets':
    case 'statefulsets':
      return workloadErrors(object as unknown as Workload);
    default:
      return [];
  }
}

interface Workload {
  spec?: {
    selector?: { matchLabels?: Record<string, string> };
    template?: { metadata?: { labels?: Record<string, string> }; spec?: PodSpec };
  };
}

function workloadErrors({ spec }: Workload): FieldError[] {
  if (spec?.selector === undefined) return [required('spec.selector')];
  const labels = spec.template?.metadata?.labels ?? {};
  const matching = Object.entries(spec.selector.matchLabels ?? {}).every(([k, v]) => labels[k] === v);
  return [
    ...(matching
      ? []
      : [
          invalidValue(
            'spec.template.metadata.labels',
            labels,
            '`selector` does not match template `labels`',
          ),
        ]),
    ...podSpecErrors(spec.template?.spec, 'spec.template.spec'),
  ];
}

/** Validates an object. @throws StatusError 422 with every invalid field */
export function validate(r: Resource, object: Stored): void {
  const errors = [
    ...nameErrors(r, object.metadata.name),
    ...metadataErrors(object),
    ...kindErrors(r, object),
  ];
  if (errors.length > 0) throw invalid(r, object.metadata.name, errors);
}

/** Validates a changed object, including fields that must not change. @throws StatusError 422 */
export function validateUpdate(r: Resource, before: Stored, after: Stored): void {
  validate(r, after);
  const errors = immutable(r, before, after);
  if (errors.length > 0) throw invalid(r, after.metadata.name, errors);
}

function immutable(r: Resource, before: Stored, after: Stored): FieldError[] {
  const fields: Readonly<Record<string, readonly string[]>> = {
    jobs: ['template', 'selector', 'completions', 'podFailurePolicy'],
    deployments: ['selector'],
    replicasets: ['selector'],
    daemonsets: ['selector'],
    statefulsets: ['selector', 'serviceName'],
  };
  if (r.name === 'pods') return podImmutable(before as Pod, after as Pod);
  if (r.name === 'rolebindings' || r.name === 'clusterrolebindings') {
    return same(before.roleRef, after.roleRef)
      ? []
      : [invalidValue('roleRef', after.roleRef, 'cannot change roleRef')];
  }
  const field = (o: Stored, name: string): unknown => Reflect.get((o.spec ?? {}) as object, name);
  return (fields[r.name] ?? [])
    .filter((name) => !same(field(before, name), field(after, name)))
    .map((name) => invalidValue(`spec.${name}`, field(after, name), 'field is immutable'));
}

function podImmutable(before: Pod, after: Pod): FieldError[] {
  const fixed = (pod: Pod) => ({
    ...pod.spec,
    containers: pod.spec?.containers.map((c) => ({ ...c, image: '' })),
    tolerations: [],
    activeDeadlineSeconds: 0,
    terminationGracePeriodSeconds: 0,
  });
  if (same(fixed(before), fixed(after))) return [];
  return [
    {
      field: 'spec',
      reason: 'FieldValueForbidden',
      message:
        'Forbidden: pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)',
    },
  ];
}
