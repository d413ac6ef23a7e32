import { ApiException } from '@kubernetes/client-node';

/** The answer does not come from a Kubernetes API server. */
export class ForeignAnswerError extends Error {}

/**
 * Checks that an answer is an API object, which has a `kind`, or a `/version` document.
 *
 * @throws ForeignAnswerError for anything else.
 */
export function assertApiObject(answer: unknown): void {
  const { kind, gitVersion } = Object(answer) as { kind?: unknown; gitVersion?: unknown };
  if (typeof kind === 'string' || typeof gitVersion === 'string') return;
  throw new ForeignAnswerError('an answer that is not a Kubernetes API object');
}

/**
 * Turns an error below 500 into a ForeignAnswerError if no API server sends it; returns any other error
 * unchanged. An API server answers 404 with a Status object, and never sends HTML.
 */
export function asForeign(error: unknown): unknown {
  if (!(error instanceof ApiException) || error.code >= 500) return error;
  const type = error.headers['content-type'] ?? 'no content type';
  const isForeign = type.includes('html') || (error.code === 404 && !isStatus(error.body));
  return isForeign ? new ForeignAnswerError(`HTTP ${error.code} with ${type}`) : error;
}

/** The client passes error bodies as text or as an object. */
function isStatus(body: unknown): boolean {
  if (typeof body === 'string') return /"kind"\s*:\s*"Status"/.test(body);
  return (Object(body) as { kind?: unknown }).kind === 'Status';
}

type NetworkError = Error & { type?: string; code?: string };

/** Whether node-fetch or Node.js reports that there was no answer, rather than one that cannot be parsed. */
export function isNoAnswer(error: NetworkError): boolean {
  if (error.name === 'AbortError' || error.name === 'TimeoutError') return true;
  if (error.name === 'FetchError') return error.type !== 'invalid-json' && error.type !== 'max-redirect';
  return typeof error.code === 'string' && error.code.startsWith('E');
}

/** Whether the kubeconfig does not trust the server's certificate, or it speaks no TLS: do not retry. */
export const isUntrusted = ({ code = '' }: NetworkError): boolean =>
  /^(CERT_|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_|ERR_TLS_CERT_|ERR_SSL_WRONG_VERSION_)/.test(code);
