import type { ApiException } from '@kubernetes/client-node';
import { UpgradeError } from '../errors.ts';

interface StatusCause {
  /** Machine-readable, such as DisruptionBudget. */
  readonly reason?: string;
  /** For people. */
  readonly message?: string;
}

const hints: Readonly<Record<number, string>> = {
  401: 'The API server does not know the credentials of the kubeconfig or the service account: renew them.',
  403: 'Compare the role of this service account with the deployed one.',
};

/** The API server refused a request. Made from the client's exception. */
export class ApiError extends UpgradeError {
  /** HTTP status. */
  readonly status: number;
  /** `reason` of the Status object, such as AlreadyExists; empty when there is none. */
  readonly reason: string;
  /** `details.causes` of the Status object. */
  readonly causes: readonly StatusCause[];
  /** `Retry-After` of the answer, milliseconds. */
  readonly retryAfter: number | undefined;

  constructor(what: string, exception: ApiException<unknown>) {
    const body = statusBody(exception.body);
    const answer = body.message ?? `HTTP ${exception.code}`;
    const hint = missingNamespace(exception.code, body) ?? hints[exception.code];
    super('failed', `${what}: ${answer}`, hint === undefined ? {} : { hint });
    this.name = 'ApiError';
    this.status = exception.code;
    this.reason = body.reason ?? '';
    this.causes = body.details?.causes ?? [];
    const after = Number(exception.headers['retry-after']);
    this.retryAfter = Number.isFinite(after) && after > 0 ? after * 1000 : undefined;
  }

  /** A PodDisruptionBudget refused the eviction. It answers 429 too, which then does not mean overload. */
  get refusedByBudget(): boolean {
    return this.status === 429 && this.causes.some((cause) => cause.reason === 'DisruptionBudget');
  }

  /** Several budgets select the pod: the API never evicts such a pod. */
  get refusedBySeveralBudgets(): boolean {
    return this.status === 500 && this.message.includes('more than one PodDisruptionBudget');
  }

  /** The same request would get the same answer again. */
  get final(): boolean {
    if (this.status === 429) return this.refusedByBudget;
    return this.status < 500 || this.refusedBySeveralBudgets;
  }
}

interface StatusBody {
  readonly message?: string;
  readonly reason?: string;
  readonly details?: { readonly kind?: string; readonly name?: string; readonly causes?: StatusCause[] };
}

/** The client passes error bodies as text, or as an object for statuses that its API description lists. */
function statusBody(body: unknown): StatusBody {
  if (typeof body === 'object' && body !== null) return body as StatusBody;
  if (typeof body !== 'string') return {};
  try {
    const parsed: unknown = JSON.parse(body);
    return typeof parsed === 'object' && parsed !== null ? (parsed as StatusBody) : {};
  } catch {
    return {};
  }
}

function missingNamespace(status: number, { details }: StatusBody): string | undefined {
  if (status !== 404 || details?.kind !== 'namespaces') return undefined;
  return `Deploy the pipeline, or create its namespace, which holds the state of a rollout: kubectl create namespace ${details.name}`;
}

/** The namespace is being deleted, and its pods with it. */
export const isNamespaceTerminating = (error: unknown): boolean =>
  error instanceof ApiError &&
  error.status === 403 &&
  error.causes.some((cause) => cause.reason === 'NamespaceTerminating');

/** The object does not exist. */
export const isNotFound = (error: unknown): boolean => error instanceof ApiError && error.status === 404;
/** The object was changed in between, or exists already. */
export const isConflict = (error: unknown): boolean => error instanceof ApiError && error.status === 409;
