import { badRequest } from '../status.ts';

type Json = Record<string, unknown>;

const isMap = (v: unknown): v is Json => typeof v === 'object' && v !== null && !Array.isArray(v);

/** The field that identifies the elements of a list, the types' `patchMergeKey`. Other lists are replaced. */
const mergeKeys: readonly (readonly [RegExp, string])[] = [
  [/\.(containers|initContainers|ephemeralContainers)$/i, 'name'],
  [/ontainers\.env$/, 'name'],
  [/ontainers\.volumeMounts$/, 'mountPath'],
  [/ontainers\.volumeDevices$/, 'devicePath'],
  [/ontainers\.ports$/, 'containerPort'],
  [/^spec\.ports$/, 'port'],
  [/spec\.volumes$/, 'name'],
  [/spec\.taints$/, 'key'],
  [/spec\.hostAliases$/, 'ip'],
  [/spec\.schedulingGates$/, 'name'],
  [/spec\.topologySpreadConstraints$/, 'topologyKey'],
  [/imagePullSecrets$/, 'name'],
  [/^secrets$/, 'name'],
  [/metadata\.ownerReferences$/, 'uid'],
  [/^status\.conditions$/, 'type'],
  [/^status\.addresses$/, 'type'],
  [/^status\.podIPs$/, 'ip'],
];
const mergedPrimitives = /(metadata\.finalizers|spec\.podCIDRs|spec\.finalizers)$/;

const keyFor = (path: string): string | undefined => mergeKeys.find(([where]) => where.test(path))?.[1];

/** Applies a strategic merge patch, with its directives, like kube-apiserver. @throws StatusError 400 */
export function strategicMerge(original: unknown, patch: unknown, path = ''): unknown {
  if (!isMap(patch)) return patch;
  const directive = patch.$patch;
  if (directive === 'delete') return {};
  if (directive === 'replace') return without(patch, (k) => k === '$patch');
  if (directive !== undefined && directive !== 'merge') {
    throw badRequest(`Unknown patch type found: ${String(directive)}`);
  }
  const result: Json = retained(isMap(original) ? original : {}, patch.$retainKeys);
  for (const [field, value] of Object.entries(patch)) {
    if (!field.startsWith('$')) mergeField(result, field, value, path === '' ? field : `${path}.${field}`);
  }
  for (const [field, value] of Object.entries(patch)) applyListDirective(result, field, value, path);
  return result;
}

function mergeField(result: Json, field: string, value: unknown, path: string): void {
  if (value === null) delete result[field];
  else if (Array.isArray(value)) result[field] = mergeList(result[field], value, path);
  else result[field] = strategicMerge(result[field], value, path);
}

function mergeList(original: unknown, patch: unknown[], path: string): unknown[] {
  const before = Array.isArray(original) ? original : [];
  if (mergedPrimitives.test(path)) return [...new Set([...before, ...patch])];
  const key = keyFor(path);
  const replace = patch.some(
    (item) => isMap(item) && item.$patch === 'replace' && Object.keys(item).length === 1,
  );
  if (key === undefined || replace) {
    return patch.filter((item) => !(isMap(item) && item.$patch !== undefined));
  }
  return patch.reduce<unknown[]>((list, item) => mergeItem(list, item, key, path), [...before]);
}

function mergeItem(list: unknown[], item: unknown, key: string, path: string): unknown[] {
  if (!isMap(item) || item[key] === undefined) {
    throw badRequest(`map: ${JSON.stringify(item)} does not contain declared merge key: ${key}`);
  }
  const at = list.findIndex((old) => isMap(old) && old[key] === item[key]);
  if (item.$patch === 'delete') return list.filter((_, i) => i !== at);
  if (at < 0) return [...list, strategicMerge({}, item, path)];
  return list.map((old, i) => (i === at ? strategicMerge(old, item, path) : old));
}

function applyListDirective(result: Json, field: string, value: unknown, path: string): void {
  const [directive, name] = field.split('/', 2);
  if (name === undefined || !Array.isArray(value)) return;
  const list = result[name];
  if (!Array.isArray(list)) return;
  if (directive === '$deleteFromPrimitiveList') result[name] = list.filter((v) => !value.includes(v));
  if (directive === '$setElementOrder') {
    const key = keyFor(path === '' ? name : `${path}.${name}`);
    const id = (v: unknown) => (key !== undefined && isMap(v) ? v[key] : v);
    const order = value.map(id);
    const rank = (v: unknown) => (order.includes(id(v)) ? order.indexOf(id(v)) : order.length);
    result[name] = [...list].sort((a, b) => rank(a) - rank(b));
  }
}

function retained(original: Json, keep: unknown): Json {
  return Array.isArray(keep) ? without(original, (k) => !keep.includes(k)) : { ...original };
}

const without = (map: Json, drop: (key: string) => boolean): Json =>
  Object.fromEntries(Object.entries(map).filter(([k]) => !drop(k)));
