import type { Resource } from './resources.ts';

/** One cause in the details of a {@link Status}. */
export interface StatusCause {
  reason?: string;
  message: string;
  field?: string;
}

/** `v1 Status`, the body of an error and of some successes. */
export interface Status {
  kind: 'Status';
  apiVersion: 'v1';
  metadata: Record<string, never>;
  status: 'Success' | 'Failure';
  message?: string;
  reason?: string;
  details?: {
    name?: string;
    group?: string;
    kind?: string;
    uid?: string;
    causes?: StatusCause[];
    retryAfterSeconds?: number;
  };
  code: number;
}

/** A failed request, with the body that a real API server sends. */
export class StatusError extends Error {
  readonly status: Status;
  constructor(status: Status) {
    super(status.message);
    this.name = 'StatusError';
    this.status = status;
  }
}

type Named = Pick<Resource, 'group' | 'name'>;
type Details = NonNullable<Status['details']>;

/** A `Status` for a failure. */
export function failure(
  code: number,
  reason: string | undefined,
  message: string,
  details?: Details,
): Status {
  return {
    kind: 'Status',
    apiVersion: 'v1',
    metadata: {},
    status: 'Failure',
    message,
    ...(reason === undefined ? {} : { reason }),
    ...(details === undefined ? {} : { details }),
    code,
  };
}

/** A `Status` for a success. */
export const success = (code: number, details?: Details): Status => ({
  kind: 'Status',
  apiVersion: 'v1',
  metadata: {},
  status: 'Success',
  ...(details === undefined ? {} : { details }),
  code,
});

const about = (r: Named, name: string): Details => ({
  ...(name === '' ? {} : { name }),
  ...(r.group === '' ? {} : { group: r.group }),
  kind: r.name,
});
/** The resource as error messages write it, such as `jobs.batch`. */
export const qualified = (r: Named): string => (r.group === '' ? r.name : `${r.name}.${r.group}`);

const error = (code: number, reason: string, message: string, details?: Details): StatusError =>
  new StatusError(failure(code, reason, message, details));

export const notFound = (r: Named, name: string): StatusError =>
  error(404, 'NotFound', `${qualified(r)} "${name}" not found`, about(r, name));

export const unknownPath = (): StatusError =>
  error(404, 'NotFound', 'the server could not find the requested resource', {});

export const alreadyExists = (r: Named, name: string): StatusError =>
  error(409, 'AlreadyExists', `${qualified(r)} "${name}" already exists`, about(r, name));

export const conflict = (r: Named, name: string, why: string): StatusError =>
  error(
    409,
    'Conflict',
    `Operation cannot be fulfilled on ${qualified(r)} "${name}": ${why}`,
    about(r, name),
  );

export const staleVersion = (r: Named, name: string): StatusError =>
  conflict(
    r,
    name,
    'the object has been modified; please apply your changes to the latest version and try again',
  );

/** By a ValidatingAdmissionPolicy. */
export const deniedByPolicy = (r: Named, name: string, message: string): StatusError =>
  error(422, 'Invalid', `${qualified(r)} "${name}" is forbidden: ${message}`, {
    ...about(r, name),
    causes: [{ message }],
  });

export const badRequest = (message: string): StatusError => error(400, 'BadRequest', message);

export const unauthorized = (): StatusError => error(401, 'Unauthorized', 'Unauthorized');

export const methodNotAllowed = (): StatusError =>
  error(405, 'MethodNotAllowed', 'the server does not allow this method on the requested resource', {});

export const unsupportedMediaType = (types: readonly string[]): StatusError =>
  error(
    415,
    'UnsupportedMediaType',
    `the body of the request was in an unknown format - accepted media types include: ${types.join(', ')}`,
  );

export const forbidden = (r: Named, name: string, why: string, causes?: StatusCause[]): StatusError =>
  error(403, 'Forbidden', `${qualified(r)}${name === '' ? '' : ` "${name}"`} is forbidden: ${why}`, {
    ...about(r, name),
    ...(causes === undefined ? {} : { causes }),
  });

/** An invalid field of an object. */
export interface FieldError {
  /** Path, such as `spec.template.spec`. */
  readonly field: string;
  /** FieldValueRequired, FieldValueInvalid, FieldValueForbidden, FieldValueNotSupported. */
  readonly reason: string;
  /** The message without the path. */
  readonly message: string;
}

export const required = (field: string, detail = ''): FieldError => ({
  field,
  reason: 'FieldValueRequired',
  message: `Required value${detail === '' ? '' : `: ${detail}`}`,
});

export const invalidValue = (field: string, value: unknown, detail: string): FieldError => ({
  field,
  reason: 'FieldValueInvalid',
  message: `Invalid value: ${JSON.stringify(value)}: ${detail}`,
});

/** A 422 error with one cause per field. */
export function invalid(
  r: Pick<Resource, 'group' | 'kind'>,
  name: string,
  errors: readonly FieldError[],
): StatusError {
  const shown = errors.map((e) => `${e.field}: ${e.message}`);
  const kind = r.group === '' ? r.kind : `${r.kind}.${r.group}`;
  const text = shown.length === 1 ? shown[0] : `[${shown.join(', ')}]`;
  return error(422, 'Invalid', `${kind} "${name}" is invalid: ${text}`, {
    name,
    ...(r.group === '' ? {} : { group: r.group }),
    kind: r.kind,
    causes: errors.map((e) => ({ reason: e.reason, message: e.message, field: e.field })),
  });
}
