import type { DeleteOptions } from '../registry-rules.ts';

/** DeleteOptions from the body and, where that says nothing, from the query. */
export function deleteOptions(body: unknown, query: URLSearchParams): DeleteOptions {
  const given = (typeof body === 'object' && body !== null ? body : {}) as Record<string, unknown>;
  const grace = given.gracePeriodSeconds ?? query.get('gracePeriodSeconds') ?? undefined;
  const dryRun = given.dryRun ?? query.getAll('dryRun');
  return {
    dryRun: Array.isArray(dryRun) && dryRun.includes('All'),
    // A negative period is taken for the shortest one.
    gracePeriodSeconds: grace === undefined ? undefined : Number(grace) < 0 ? 1 : Number(grace),
    propagationPolicy:
      (given.propagationPolicy as string | undefined) ?? query.get('propagationPolicy') ?? undefined,
    preconditions: given.preconditions as DeleteOptions['preconditions'],
  };
}
