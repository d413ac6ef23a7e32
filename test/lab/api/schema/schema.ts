import { readFileSync } from 'node:fs';

/** One field of an API type, for JSON and protobuf. */
export interface Field {
  /** JSON name; empty for an embedded struct or a named list. */
  readonly name: string;
  /** `s` string, `b` bool, `i` integer, `y` bytes, or the name of a message. */
  readonly type: string;
  readonly repeated: boolean;
  readonly map: boolean;
  /** Whether a zero value is kept in JSON; otherwise it counts as absent. */
  readonly keepZero: boolean;
}

/** Fields by their number. */
export type Message = ReadonlyMap<number, Field>;

let messages: ReadonlyMap<string, Message> | undefined;

/** The type's fields; undefined for a type that is not a struct, and for custom resources. */
export function messageOf(type: string): Message | undefined {
  messages ??= parse(readFileSync(new URL('schema.txt', import.meta.url), 'utf8'));
  return messages.get(type);
}

/** Name of the object's type in the schema: the kind, except that there are two Events. */
export const typeOf = (apiVersion: string | undefined, kind: string): string =>
  kind === 'Event' && apiVersion?.startsWith('events.') === true ? 'events.Event' : kind;

function parse(text: string): ReadonlyMap<string, Message> {
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  return new Map(
    lines.map((line) => {
      const [name = '', ...list] = line.split(' ');
      return [name, new Map(list.map(parseField))];
    }),
  );
}

function parseField(text: string): [number, Field] {
  const [number, name = '', type = ''] = text.split(':');
  const field = {
    name,
    type: type.replace(/[*%!]+$/, ''),
    repeated: type.includes('*'),
    map: type.includes('%'),
    keepZero: type.endsWith('!'),
  };
  return [Number(number), field];
}
