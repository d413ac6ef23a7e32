import { badRequest } from './status.ts';
import type { KubeObject, LabelSelector } from './types.ts';

type Labels = Readonly<Record<string, string>> | undefined;
type LabelTest = (labels: NonNullable<Labels>) => boolean;

const requirement =
  /^\s*(?:(!)\s*([^\s!=,()]+)|([^\s!=,()]+)\s+(in|notin)\s*\(([^)]*)\)|([^\s!=,()]+)\s*(==|=|!=)\s*([^\s!=,()]*)|([^\s!=,()]+))\s*$/;

function labelTest(text: string): LabelTest {
  const m = requirement.exec(text);
  if (m === null) throw badRequest(`unable to parse requirement: found '${text.trim()}'`);
  const [, , absent, setKey, setOp, values, key, op, value, present] = m;
  if (absent !== undefined) return (l) => !(absent in l);
  if (setKey !== undefined) {
    const set = (values ?? '').split(',').map((v) => v.trim());
    const inside: LabelTest = (l) => setKey in l && set.includes(l[setKey] ?? '');
    return setOp === 'in' ? inside : (l) => !inside(l);
  }
  if (key !== undefined) {
    return op === '!=' ? (l) => l[key] !== (value ?? '') : (l) => l[key] === (value ?? '');
  }
  return (l) => (present ?? '') in l;
}

/** Parses `a=b,c in (d,e),!f` into a predicate. @throws StatusError 400 when it does not parse */
export function parseLabelSelector(text: string): (labels: Labels) => boolean {
  const tests = text
    .split(/,(?![^(]*\))/)
    .filter((part) => part.trim() !== '')
    .map(labelTest);
  return (labels) => tests.every((test) => test(labels ?? {}));
}

/** Evaluates a selector of an object. An empty selector matches everything, an absent one nothing. */
export function matchesSelector(selector: LabelSelector | undefined, labels: Labels): boolean {
  if (selector === undefined) return false;
  const l = labels ?? {};
  const equal = Object.entries(selector.matchLabels ?? {}).every(([k, v]) => l[k] === v);
  return equal && (selector.matchExpressions ?? []).every((e) => matchesExpression(e, l));
}

interface Expression {
  readonly key: string;
  readonly operator: string;
  readonly values?: readonly string[];
}

/** Evaluates one expression: In, NotIn, Exists, DoesNotExist, Gt or Lt. An unknown operator never matches. */
export function matchesExpression(e: Expression, labels: Readonly<Record<string, string>>): boolean {
  const value = labels[e.key];
  const values = e.values ?? [];
  switch (e.operator) {
    case 'In':
      return value !== undefined && values.includes(value);
    case 'NotIn':
      return value === undefined || !values.includes(value);
    case 'Exists':
      return value !== undefined;
    case 'DoesNotExist':
      return value === undefined;
    case 'Gt':
      return value !== undefined && Number(value) > Number(values[0]);
    case 'Lt':
      return value !== undefined && Number(value) < Number(values[0]);
    default:
      return false;
  }
}

const objectFields = [
  'involvedObject.kind',
  'involvedObject.namespace',
  'involvedObject.name',
  'involvedObject.uid',
  'involvedObject.apiVersion',
  'involvedObject.resourceVersion',
  'involvedObject.fieldPath',
  'reason',
  'reportingComponent',
  'source',
  'type',
];
const supported: Readonly<Record<string, readonly string[]>> = {
  pods: [
    'spec.nodeName',
    'spec.restartPolicy',
    'spec.schedulerName',
    'spec.serviceAccountName',
    'spec.hostNetwork',
    'status.phase',
    'status.podIP',
    'status.nominatedNodeName',
  ],
  nodes: ['spec.unschedulable'],
  namespaces: ['status.phase'],
  secrets: ['type'],
  jobs: ['status.successful'],
  events: [...objectFields, ...objectFields.map((f) => f.replace('involvedObject.', 'regarding.'))],
};

function fieldValue(object: KubeObject, field: string): string {
  const path = field === 'source' ? 'source.component' : field.replace('regarding.', 'involvedObject.');
  const value = path
    .split('.')
    .reduce<unknown>((o, k) => (typeof o === 'object' && o !== null ? Reflect.get(o, k) : undefined), object);
  return value === undefined || value === null ? '' : String(value);
}

function unsupportedField(resource: string, field: string): Error {
  if (supported[resource] !== undefined) return badRequest(`field label not supported: ${field}`);
  return badRequest(`"${field}" is not a known field selector: only "metadata.name", "metadata.namespace"`);
}

/**
 * Parses `spec.nodeName=a,status.phase!=Failed` into a predicate.
 * @throws StatusError 400 for an unsupported field
 */
export function parseFieldSelector(resource: string, text: string): (object: KubeObject) => boolean {
  const allowed = ['metadata.name', 'metadata.namespace', ...(supported[resource] ?? [])];
  const tests = text
    .split(',')
    .filter((part) => part.trim() !== '')
    .map((part) => {
      const [, field = '', op, value = ''] = /^([^=!]+)(==|!=|=)(.*)$/.exec(part.trim()) ?? [];
      if (op === undefined) throw badRequest(`invalid selector: '${part}'; can't understand '${part}'`);
      if (!allowed.includes(field)) throw unsupportedField(resource, field);
      const wanted = value.replaceAll('\\=', '=').replaceAll('\\,', ',');
      return (o: KubeObject) => (fieldValue(o, field) === wanted) === (op !== '!=');
    });
  return (object) => tests.every((test) => test(object));
}
