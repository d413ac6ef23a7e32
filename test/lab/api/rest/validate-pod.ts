import { type FieldError, required } from '../status.ts';
import type { PodSpec } from '../types.ts';

/** Errors in `containers` and their volume mounts. `at` is the path of the spec. */
export function podSpecErrors(spec: PodSpec | undefined, at: string): FieldError[] {
  const containers = spec?.containers ?? [];
  if (containers.length === 0) return [required(`${at}.containers`)];
  const volumes = new Set((spec?.volumes ?? []).map((v) => v.name));
  return containers.flatMap((c, i) => [
    ...((c.name ?? '') === '' ? [required(`${at}.containers[${i}].name`)] : []),
    ...((c.image ?? '') === '' ? [required(`${at}.containers[${i}].image`)] : []),
    ...(c.volumeMounts ?? [])
      .map((m, j) => [m.name, j] as const)
      .filter(([name]) => !volumes.has(name))
      .map(([name, j]) => ({
        field: `${at}.containers[${i}].volumeMounts[${j}].name`,
        reason: 'FieldValueNotFound',
        message: `Not found: ${JSON.stringify(name)}`,
      })),
  ]);
}
