import { z } from 'zod';
import { InputError } from '../errors.ts';
import {
  compareReleases,
  kindOf,
  minorOf,
  nextMinorOf,
  parseRelease,
  type Release,
  type UpgradeKind,
} from '../release.ts';
import { parseWith } from '../settings/parse.ts';
import { isStageName, type StageName, stageNames } from './stages.ts';

/** What a run has to do. */
export interface UpgradeRequest {
  /** The release to upgrade to. */
  readonly target: Release;
  /** Must match the step from the running release to the target. */
  readonly kind: UpgradeKind;
  /** Whether to report the planned actions without changing anything. */
  readonly dryRun: boolean;
  /** In the order in which they run. */
  readonly stages: readonly StageName[];
}

/** The JSON of `--inputs`, as in the agent's prompt. */
const inputsSchema = z.strictObject({
  /** `X.Y.Z`. */
  target_version: z.string(),
  /** Must match the step from the running release. */
  kind: z.enum(['patch', 'minor']),
  /** Whether only to report the planned actions. */
  dry_run: z.boolean().default(false),
  /** `all`, or names of stages in any order: a list, or separated by commas. */
  stages: z.union([z.string(), z.array(z.string())]).default('all'),
});

/** The inputs before defaults are applied: not a dry-run, all stages. */
export type Inputs = z.input<typeof inputsSchema>;

/**
 * Parses the JSON of `--inputs`.
 *
 * @throws UpgradeError (badInput) naming the field, the given value and what is allowed.
 */
export function parseInputs(json: string): UpgradeRequest {
  let document: unknown;
  try {
    document = JSON.parse(json);
  } catch {
    throw new InputError(
      '--inputs',
      json.slice(0, 80),
      'JSON such as {"target_version":"1.34.5","kind":"patch"}',
    );
  }
  return requestOf(parseWith(inputsSchema, '--inputs', document));
}

/** Builds the request from values given as flags. @throws UpgradeError (badInput) as `parseInputs` does. */
export function requestOf(inputs: Inputs): UpgradeRequest {
  const { target_version, kind, dry_run, stages } = parseWith(inputsSchema, 'inputs', inputs);
  return {
    target: parseRelease('target_version', target_version),
    kind,
    dryRun: dry_run,
    stages: parseStages(stages),
  };
}

/** The JSON of `--inputs` for this request, for the next Job. `parseInputs` reverses it. */
export function inputsOf(request: UpgradeRequest): string {
  const inputs: Inputs = {
    target_version: request.target,
    kind: request.kind,
    dry_run: request.dryRun,
    stages: request.stages.length === stageNames.length ? 'all' : request.stages.join(','),
  };
  return JSON.stringify(inputs);
}

function parseStages(given: string | readonly string[]): readonly StageName[] {
  const words = typeof given === 'string' ? given.split(',').map((w) => w.trim()) : given;
  if (words.length === 1 && words[0] === 'all') return stageNames;
  if (words.length === 0) throw new InputError('stages', '[]', `all, or some of ${stageNames.join(', ')}`);
  for (const word of words) {
    if (!isStageName(word)) throw new InputError('stages', word, `all, or some of ${stageNames.join(', ')}`);
  }
  return stageNames.filter((name) => words.includes(name));
}

/**
 * Checks a request against what the cluster runs, before anything is changed.
 *
 * @param running release of the oldest kubelet.
 * @param server release of the API server.
 * @throws InputError for a target that is older, too far ahead, or not of the given kind.
 */
export function checkAgainstCluster(request: UpgradeRequest, running: Release, server: Release): void {
  const { target, kind } = request;
  if (compareReleases(target, running) < 0 || compareReleases(target, server) < 0) {
    const has = `the cluster's (API server ${server}, oldest kubelet ${running}); kubeadm cannot downgrade`;
    throw new InputError('target_version', target, `a release not older than ${has}`);
  }
  // Every kubelet is at the target. Only post-flight is left, so the kind does not matter.
  if (target === running) return;
  const step = kindOf(running, target);
  if (step === undefined) {
    const allowed = `a release of ${minorOf(running)} or ${nextMinorOf(running)}; kubeadm upgrades one minor at a time`;
    throw new InputError('target_version', target, allowed);
  }
  if (step !== kind)
    throw new InputError('kind', kind, `${step}, because ${running} → ${target} is a ${step}`);
}
