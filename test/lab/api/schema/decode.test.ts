import { describe, expect, it } from 'vitest';
import { decodeProtobuf } from './decode.ts';
import fixtures from './fixtures.json' with { type: 'json' };

type Json = Record<string, unknown>;

/** Drops empty objects and nulls, which Go writes although they mean nothing. */
function bare(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(bare);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value as Json).map(([k, v]) => [k, bare(v)] as const);
  const isEmpty = (v: unknown) => v === null || (typeof v === 'object' && Object.keys(v).length === 0);
  return Object.fromEntries(entries.filter(([, v]) => !isEmpty(v)));
}

/** k8s.io/apimachinery v0.32.4 encoded the fixtures in both formats. */
describe('protobuf bodies', () => {
  it.each(fixtures)('of $json.kind decode to what Go writes as JSON', ({ protobuf, json }) => {
    expect(bare(decodeProtobuf(Buffer.from(protobuf, 'base64')))).toEqual(bare(json));
  });

  it('are refused when they are truncated or not protobuf', () => {
    const bytes = Buffer.from(fixtures[0]?.protobuf ?? '', 'base64');
    expect(() => decodeProtobuf(bytes.subarray(0, bytes.length - 40))).toThrow('truncated protobuf');
    expect(() => decodeProtobuf(Buffer.from('{}'))).toThrow('no k8s protobuf prefix');
  });
});
