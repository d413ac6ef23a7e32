import type { KubeObject } from '../types.ts';
import { type Field, messageOf, typeOf } from './schema.ts';

/**
 * Since 1.32 kubectl's typed clients send some bodies as protobuf. This module decodes such a body into the
 * equivalent JSON object. Answers are always JSON, which these clients accept too.
 */

type Json = Record<string, unknown>;

export const protobufMediaType = 'application/vnd.kubernetes.protobuf';
const magic = Buffer.from('k8s\0');

/** Decodes a body. @throws Error when it is not such an envelope, truncated, or of an unknown kind */
export function decodeProtobuf(bytes: Buffer): KubeObject {
  if (!bytes.subarray(0, 4).equals(magic)) throw new Error('the body has no k8s protobuf prefix');
  let apiVersion = '';
  let kind = '';
  let raw = Buffer.alloc(0);
  for (const { number, value } of fields(bytes.subarray(4))) {
    if (number === 2 && Buffer.isBuffer(value)) raw = Buffer.from(value);
    if (number !== 1 || !Buffer.isBuffer(value)) continue;
    for (const part of fields(value)) {
      if (part.number === 1) apiVersion = String(part.value);
      if (part.number === 2) kind = String(part.value);
    }
  }
  return { apiVersion, kind, ...(decodeMessage(typeOf(apiVersion, kind), raw) as Json) };
}

type WireValue = bigint | Buffer;

/** The fields of one message, in wire order. */
function* fields(bytes: Buffer): Generator<{ number: number; value: WireValue }> {
  let at = 0;
  const varint = (): bigint => {
    let result = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = bytes[at++];
      if (byte === undefined) throw new Error('truncated protobuf');
      result |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return BigInt.asIntN(64, result);
    }
  };
  const take = (length: number): Buffer => {
    if (at + length > bytes.length) throw new Error('truncated protobuf');
    at += length;
    return bytes.subarray(at - length, at);
  };
  while (at < bytes.length) {
    const tag = Number(varint());
    const length = { 1: 8, 5: 4 }[tag & 7];
    const value = (tag & 7) === 0 ? varint() : take(length ?? Number(varint()));
    yield { number: tag >> 3, value };
  }
}

function decodeMessage(name: string, bytes: Buffer): unknown {
  const special = specials[name];
  if (special !== undefined) return special(new Map([...fields(bytes)].map((f) => [f.number, f.value])));
  const message = messageOf(name);
  if (message === undefined) throw new Error(`no protobuf schema of ${name}`);
  const result: Json = {};
  const list: unknown[] = [];
  for (const { number, value } of fields(bytes)) {
    const field = message.get(number);
    if (field === undefined) continue;
    if (field.name === '' && field.repeated) list.push(decodeValue(field.type, value));
    else addField(result, field, value);
  }
  return list.length > 0 ? list : result;
}

function addField(result: Json, field: Field, value: WireValue): void {
  const { name, type } = field;
  if (field.map) {
    const entry = new Map([...fields(value as Buffer)].map((f) => [f.number, f.value]));
    const map = (result[name] ?? {}) as Json;
    map[String(entry.get(1) ?? '')] = decodeValue(type, entry.get(2) ?? Buffer.alloc(0));
    result[name] = map;
    return;
  }
  const decoded = decodeValue(type, value);
  if (field.repeated) result[name] = [...((result[name] ?? []) as unknown[]), decoded];
  else if (name === '') Object.assign(result, decoded);
  else if (decoded !== undefined && (field.keepZero || !isZero(decoded))) result[name] = decoded;
}

const isZero = (value: unknown): boolean => value === '' || value === 0 || value === false;

function decodeValue(type: string, value: WireValue): unknown {
  switch (type) {
    case 's':
      return value.toString();
    case 'y':
      return (value as Buffer).toString('base64');
    case 'b':
      return value === 1n;
    case 'i':
      return Number(value);
    default:
      return decodeMessage(type, value as Buffer);
  }
}

type Values = ReadonlyMap<number, WireValue>;

/** Types whose JSON is not an object. */
const specials: Readonly<Record<string, (values: Values) => unknown>> = {
  Quantity: (v) => String(v.get(1) ?? '0'),
  IntOrString: (v) => (v.get(1) === 1n ? String(v.get(3) ?? '') : Number(v.get(2) ?? 0n)),
  RawExtension: (v) => JSON.parse(String(v.get(1) ?? 'null')),
  Time: (v) => (v.size === 0 ? undefined : isoTime(v).replace(/\.\d+Z$/, 'Z')),
  MicroTime: (v) => (v.size === 0 ? undefined : isoTime(v).replace(/\.\d+Z$/, `.${micros(v)}Z`)),
};

const isoTime = (v: Values): string => new Date(Number(v.get(1) ?? 0n) * 1000).toISOString();
const micros = (v: Values): string => String(((v.get(2) ?? 0n) as bigint) / 1000n).padStart(6, '0');
