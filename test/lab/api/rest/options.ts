import type { DeleteOptions } from '../registry-rules.ts';
import { invalid } from '../status.ts';
import type { RequestInfo } from './request-info.ts';

const optionKinds: Readonly<Record<string, string>> = {
  create: 'CreateOptions',
  update: 'UpdateOptions',
  patch: 'PatchOptions',
  delete: 'DeleteOptions',
};

/** Checks the parameter `dryRun`. @throws StatusError 422 for a value other than `All` */
export function checkDryRun({ query, verb }: RequestInfo): void {
  const kind = optionKinds[verb];
  const other = query.getAll('dryRun').find((value) => value !== 'All' && value !== '');
  if (kind === undefined || other === undefined) return;
  const message = `Unsupported value: ${JSON.stringify(other)}: supported values: "All"`;
  const error = { field: 'dryRun', reason: 'FieldValueNotSupported', message };
  throw invalid({ group: 'meta.k8s.io', kind }, '', [error]);
}

/** DeleteOptions from the body, with the query for what the body does not set. */
export function deleteOptions(body: unknown, query: URLSearchParams): DeleteOptions {
  const given = (typeof body === 'object' && body !== null ? body : {}) as Record<string, unknown>;
  const grace = given.gracePeriodSeconds ?? query.get('gracePeriodSeconds') ?? undefined;
  const dryRun = given.dryRun ?? query.getAll('dryRun');
  return {
    dryRun: Array.isArray(dryRun) && dryRun.includes('All'),
    // kube-apiserver treats a negative period as one second.
    gracePeriodSeconds: grace === undefined ? undefined : Number(grace) < 0 ? 1 : Number(grace),
    propagationPolicy:
      (given.propagationPolicy as string | undefined) ?? query.get('propagationPolicy') ?? undefined,
    preconditions: given.preconditions as DeleteOptions['preconditions'],
  };
}
