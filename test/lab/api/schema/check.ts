import { type Field, messageOf, typeOf } from './schema.ts';

/** Differences between an object and its type. Values are not validated. */
export interface ShapeFindings {
  /** Error messages about values that Go could not decode into their type. */
  readonly mismatches: readonly string[];
  /** Paths of fields that the type does not have. */
  readonly unknown: readonly string[];
}

type Json = Record<string, unknown>;

interface Findings {
  mismatches: string[];
  unknown: string[];
}

/** Compares an object with its API type. Custom resources have no known type and are never at fault. */
export function checkShape(apiVersion: string, kind: string, object: object): ShapeFindings {
  const found: Findings = { mismatches: [], unknown: [] };
  const { apiVersion: _, kind: __, ...rest } = object as Json;
  checkStruct(typeOf(apiVersion, kind), rest, '', found);
  return found;
}

/** A copy of the object without the unknown fields. */
export function withoutUnknown<T extends object>(object: T, unknown: readonly string[]): T {
  const copy = structuredClone(object);
  for (const path of unknown) {
    const parts = path.split(/[.[]/).map((p) => p.replace(/]$/, ''));
    const last = parts.pop() ?? '';
    const parent = parts.reduce<unknown>((o, k) => (o as Json | undefined)?.[k], copy);
    if (typeof parent === 'object' && parent !== null) Reflect.deleteProperty(parent, last);
  }
  return copy;
}

function checkStruct(type: string, value: unknown, path: string, found: Findings, owner = type): void {
  const message = messageOf(type);
  if (message === undefined) return;
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    mismatch(found, { path, owner }, value, `v1.${type}`);
    return;
  }
  const fields = jsonFields(type);
  for (const [name, child] of Object.entries(value)) {
    const at = path === '' ? name : `${path}.${name}`;
    const field = fields.get(name);
    if (field === undefined) found.unknown.push(at);
    else if (child !== null) checkField({ ...field, owner: type }, child, at, found);
  }
}

/** A field and the struct that has it. */
type OwnedField = Field & { readonly owner: string };

function checkField(field: OwnedField, value: unknown, path: string, found: Findings): void {
  const { owner } = field;
  if (field.map) {
    if (typeof value !== 'object' || Array.isArray(value))
      mismatch(found, { path, owner }, value, `map[string]${goType(field.type)}`);
    else
      for (const [key, v] of Object.entries(value as Json))
        checkValue(field.type, v, { path: `${path}.${key}`, owner, shown: path }, found);
  } else if (field.repeated) {
    if (!Array.isArray(value)) mismatch(found, { path, owner }, value, `[]${goType(field.type)}`);
    else
      for (const [i, v] of value.entries())
        checkValue(field.type, v, { path: `${path}[${i}]`, owner }, found);
  } else checkValue(field.type, value, { path, owner }, found);
}

/** Whether a JSON value has the type. All other types are structs. */
const scalars: Readonly<Record<string, (value: unknown) => boolean>> = {
  s: (v) => typeof v === 'string',
  y: (v) => typeof v === 'string' || typeof v === 'object',
  b: (v) => typeof v === 'boolean',
  i: (v) => Number.isInteger(v),
  Quantity: (v) => typeof v === 'string' || typeof v === 'number',
  IntOrString: (v) => typeof v === 'string' || Number.isInteger(v),
  Time: (v) => typeof v === 'string' && !Number.isNaN(Date.parse(v)),
  // A MicroTime has exactly six decimal places.
  MicroTime: (v) =>
    typeof v === 'string' && /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}(Z|[+-]\d\d:\d\d)$/.test(v),
  RawExtension: () => true,
};

function checkValue(type: string, value: unknown, at: Place, found: Findings): void {
  const scalar = scalars[type];
  if (scalar === undefined) checkStruct(type, value, at.path, found, at.owner);
  else if (!scalar(value)) mismatch(found, at, value, goType(type));
}

const goType = (type: string): string => ({ s: 'string', b: 'bool', i: 'int32', y: '[]uint8' })[type] ?? type;

/** The location of a value. Go's messages name the struct, but no list positions or map keys. */
interface Place {
  readonly path: string;
  readonly owner: string;
  /** The path without the key of a map. @default path */
  readonly shown?: string;
}

function mismatch(found: Findings, at: Place, value: unknown, type: string): void {
  const field = `${at.owner}.${(at.shown ?? at.path).replace(/\[\d+\]/g, '')}`;
  const times: Record<string, string> = {
    Time: '2006-01-02T15:04:05Z07:00',
    MicroTime: '2006-01-02T15:04:05.000000Z07:00',
  };
  const layout = times[type];
  found.mismatches.push(
    layout !== undefined && typeof value === 'string'
      ? `parsing time ${JSON.stringify(value)} as ${JSON.stringify(layout)}: cannot parse`
      : `json: cannot unmarshal ${jsonType(value)} into Go struct field ${field} of type ${type}`,
  );
}

const jsonType = (v: unknown): string => {
  if (Array.isArray(v)) return 'array';
  return typeof v === 'boolean' ? 'bool' : typeof v;
};

const cache = new Map<string, ReadonlyMap<string, Field>>();

/** Fields by their JSON name, including those of embedded structs. */
function jsonFields(type: string): ReadonlyMap<string, Field> {
  const known = cache.get(type);
  if (known !== undefined) return known;
  const own = [...(messageOf(type)?.values() ?? [])];
  const fields = own.flatMap((f): [string, Field][] =>
    f.name === '' ? [...jsonFields(f.type)] : [[f.name, f]],
  );
  const result = new Map(fields);
  cache.set(type, result);
  return result;
}
