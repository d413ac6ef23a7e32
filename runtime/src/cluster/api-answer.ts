import { ApiException } from '@kubernetes/client-node';

/** What came back is not from a Kubernetes API server. */
export class ForeignAnswerError extends Error {}

/** @throws ForeignAnswerError unless it says what kind of object it is, as everything but `/version` does. */
export function assertApiObject(answer: unknown): void {
  const { kind, gitVersion } = Object(answer) as { kind?: unknown; gitVersion?: unknown };
  if (typeof kind === 'string' || typeof gitVersion === 'string') return;
  throw new ForeignAnswerError('an answer that is no object of the Kubernetes API');
}

/** The refusal of a server that is none. An API server has a Status for what it does not find, and no HTML for anything. */
export function asForeign(error: unknown): unknown {
  if (!(error instanceof ApiException) || error.code >= 500) return error;
  const type = error.headers['content-type'] ?? 'no content type';
  const own = type.includes('html') || (error.code === 404 && !isStatus(error.body));
  return own ? new ForeignAnswerError(`HTTP ${error.code} with ${type}`) : error;
}

/** The client hands over error bodies as text or as an object. */
function isStatus(body: unknown): boolean {
  if (typeof body === 'string') return /"kind"\s*:\s*"Status"/.test(body);
  return (Object(body) as { kind?: unknown }).kind === 'Status';
}

type NetworkError = Error & { type?: string; code?: string };

/** node-fetch's and Node's ways of saying that there was no answer, as opposed to one that cannot be read. */
export function isNoAnswer(error: NetworkError): boolean {
  if (error.name === 'AbortError' || error.name === 'TimeoutError') return true;
  if (error.name === 'FetchError') return error.type !== 'invalid-json' && error.type !== 'max-redirect';
  return typeof error.code === 'string' && error.code.startsWith('E');
}

/** What shows its certificate is not who the kubeconfig means, or speaks no TLS: that does not pass. */
export const isUntrusted = ({ code = '' }: NetworkError): boolean =>
  /^(CERT_|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_|ERR_TLS_CERT_|ERR_SSL_WRONG_VERSION_)/.test(code);
