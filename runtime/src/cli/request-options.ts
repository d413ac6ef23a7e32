import { InputError } from '../errors.ts';
import { parseInputs, requestOf, type UpgradeRequest } from '../rollout/request.ts';

/** What to upgrade to: the JSON or the same as flags. */
export interface RequestOptions {
  readonly inputs?: string;
  readonly targetVersion?: string;
  readonly kind?: string;
  readonly stages?: string;
  readonly dryRun?: boolean;
}

const requestFlags = {
  targetVersion: '--target-version',
  kind: '--kind',
  stages: '--stages',
  dryRun: '--dry-run',
} as const;

/** The flags that were given, each of which says a part of the request. */
function flagsIn(options: RequestOptions): string[] {
  const keys = Object.keys(requestFlags) as (keyof typeof requestFlags)[];
  return keys.filter((key) => options[key] !== undefined).map((key) => requestFlags[key]);
}

/** Whether anything is asked for by name. */
export const isRequested = (options: RequestOptions): boolean =>
  options.inputs !== undefined || flagsIn(options).length > 0;

/** @throws UpgradeError (badInput) naming the field. */
export function readRequest(options: RequestOptions): UpgradeRequest {
  if (options.inputs !== undefined) {
    const [flag] = flagsIn(options);
    // Which of the two was meant is not for a program to guess that changes nodes.
    if (flag !== undefined) throw new InputError(flag, 'beside --inputs', 'either --inputs or flags');
    return parseInputs(options.inputs);
  }
  const { targetVersion, kind, stages, dryRun } = options;
  if (targetVersion === undefined)
    throw new InputError('--target-version', 'nothing', 'a release X.Y.Z, or --inputs');
  if (kind !== 'patch' && kind !== 'minor')
    throw new InputError('--kind', kind ?? 'nothing', 'patch or minor');
  return requestOf({
    target_version: targetVersion,
    kind,
    ...(stages !== undefined && { stages }),
    ...(dryRun && { dry_run: true }),
  });
}
