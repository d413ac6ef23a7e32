import { InputError } from '../errors.ts';
import { parseInputs, requestOf, type UpgradeRequest } from '../rollout/request.ts';

/** The request for an upgrade as options: either `inputs`, or the others. */
export interface RequestOptions {
  /** The request as JSON. */
  readonly inputs?: string;
  /** Target release, `X.Y.Z`. */
  readonly targetVersion?: string;
  /** `patch` or `minor`. */
  readonly kind?: string;
  /** Names of stages, separated by commas. @default all */
  readonly stages?: string;
  /** Report what would be done, change nothing. @default false */
  readonly dryRun?: boolean;
}

const requestFlags = {
  targetVersion: '--target-version',
  kind: '--kind',
  stages: '--stages',
  dryRun: '--dry-run',
} as const;

/** The given flags that are parts of a request. */
function flagsIn(options: RequestOptions): string[] {
  const keys = Object.keys(requestFlags) as (keyof typeof requestFlags)[];
  return keys.filter((key) => options[key] !== undefined).map((key) => requestFlags[key]);
}

/** Whether the options contain a request, or a part of one. */
export const isRequested = (options: RequestOptions): boolean =>
  options.inputs !== undefined || flagsIn(options).length > 0;

/** Reads the request from the options. @throws UpgradeError (badInput) naming the field. */
export function readRequest(options: RequestOptions): UpgradeRequest {
  if (options.inputs !== undefined) {
    const [flag] = flagsIn(options);
    // A program that changes nodes must not guess which of the two was meant.
    if (flag !== undefined) throw new InputError(flag, 'given with --inputs', 'either --inputs or flags');
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
