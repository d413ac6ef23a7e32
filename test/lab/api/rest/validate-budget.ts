import { type FieldError, invalidValue } from '../status.ts';
import type { PodDisruptionBudget } from '../types.ts';

/**
 * Errors in a budget's counts: negative, over 100 %, or both set. From
 * k8s.io/kubernetes/pkg/apis/policy/validation.
 */
export function budgetErrors({ spec = {} }: PodDisruptionBudget): FieldError[] {
  const { minAvailable, maxUnavailable } = spec;
  const both =
    minAvailable !== undefined && maxUnavailable !== undefined
      ? [invalidValue('spec', spec, 'minAvailable and maxUnavailable cannot be both set')]
      : [];
  return [
    ...both,
    ...countErrors('spec.minAvailable', minAvailable),
    ...countErrors('spec.maxUnavailable', maxUnavailable),
  ];
}

function countErrors(field: string, value: number | string | undefined): FieldError[] {
  if (value === undefined) return [];
  if (typeof value === 'number')
    return value < 0 ? [invalidValue(field, value, 'must be greater than or equal to 0')] : [];
  const percent = /^(\d+)%$/.exec(value)?.[1];
  const form =
    "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')";
  if (percent === undefined) return [invalidValue(field, value, form)];
  return Number(percent) > 100 ? [invalidValue(field, value, 'must not be greater than 100%')] : [];
}
