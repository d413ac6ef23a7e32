import { z } from 'zod';
import { UpgradeError } from '../errors.ts';
import { userInUrl } from './values.ts';

/**
 * Parses `document` with `schema`.
 *
 * @param source name of the document, for the error message.
 * @throws UpgradeError (badInput) with every finding: the field, what was given and what is allowed.
 */
export function parseWith<S extends z.ZodType>(schema: S, source: string, document: unknown): z.output<S> {
  const result = schema.safeParse(document ?? {});
  if (result.success) return result.data;
  const findings = result.error.issues.map((issue) => describeIssue(schema, document, issue));
  throw new UpgradeError('badInput', `${source}: ${findings.join('; ')}`);
}

function describeIssue(schema: z.ZodType, document: unknown, issue: z.core.$ZodIssue): string {
  const field = issue.path.join('.') || '(the document)';
  if (issue.code === 'unrecognized_keys') {
    const unknown = issue.keys.map((key) => JSON.stringify(key)).join(', ');
    return `${field}: unknown ${unknown}, expected ${allowedKeys(schema, issue.path).join(', ')}`;
  }
  // From the document: in the issue, durations are already numbers.
  const given = issue.path.reduce<unknown>((value, key) => Reflect.get(Object(value), key), document);
  const shown = typeof given === 'string' ? given.replace(userInUrl, '//…@') : given;
  return `${field}: given ${shown === undefined ? 'nothing' : JSON.stringify(shown)}, ${issue.message}`;
}

/** The keys that the schema allows at `path`. */
function allowedKeys(schema: z.ZodType, path: readonly PropertyKey[]): string[] {
  type Described = z.core.JSONSchema.BaseSchema | undefined;
  const inside = (described: Described, key: PropertyKey) =>
    (described?.properties?.[String(key)] ?? described?.items) as Described;
  const root: Described = z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' });
  return Object.keys(path.reduce(inside, root)?.properties ?? {});
}
