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

/** DeleteOptions from the body; from the query only where there is no body. */
export function deleteOptions(body: unknown, query: URLSearchParams): DeleteOptions {
  const given = typeof body === 'object' && body !== null ? (body as Options) : optionsOf(query);
  const { gracePeriodSeconds: grace, dryRun = [] } = given;
  return {
    ...given,
    dryRun: dryRun.includes('All'),
    // kube-apiserver treats a negative period as one second.
    gracePeriodSeconds: grace === undefined ? undefined : Number(grace) < 0 ? 1 : Number(grace),
  };
}

interface Options {
  readonly dryRun?: readonly string[];
  readonly gracePeriodSeconds?: number | string | undefined;
  readonly propagationPolicy?: string | undefined;
  readonly preconditions?: DeleteOptions['preconditions'];
}

const optionsOf = (query: URLSearchParams): Options => ({
  dryRun: query.getAll('dryRun'),
  gracePeriodSeconds: query.get('gracePeriodSeconds') ?? undefined,
  propagationPolicy: query.get('propagationPolicy') ?? undefined,
});
