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

/** What a run is asked to do. */
export interface UpgradeRequest {
  readonly target: Release;
  readonly kind: UpgradeKind;
  readonly dryRun: boolean;
  /** In the order in which they run. */
  readonly stages: readonly StageName[];
}

/** The JSON of `--inputs`, as in the agent's prompt. */
const inputsSchema = z.strictObject({
  target_version: z.string(),
  kind: z.enum(['patch', 'minor']),
  dry_run: z.boolean().default(false),
  stages: z.union([z.string(), z.array(z.string())]).default('all'),
});

export type Inputs = z.input<typeof inputsSchema>;

/** @throws UpgradeError (badInput) naming the field, what was given and what is allowed. */
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

/** The same from flags. */
export function requestOf(inputs: Inputs): UpgradeRequest {
  const { target_version, kind, dry_run, stages } = parseWith(inputsSchema, 'inputs', inputs);
  return {
    target: parseRelease('target_version', target_version),
    kind,
    dryRun: dry_run,
    stages: parseStages(stages),
  };
}

/** The inputs again, for the next Job. */
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
 * @param running the oldest kubelet; @param server the API server.
 * @throws InputError for a target that is older, too far ahead, or not of its kind.
 */
export function checkAgainstCluster(request: UpgradeRequest, running: Release, server: Release): void {
  const { target, kind } = request;
  if (compareReleases(target, running) < 0 || compareReleases(target, server) < 0) {
    const has = `the cluster's (API server ${server}, oldest kubelet ${running}); kubeadm cannot downgrade`;
    throw new InputError('target_version', target, `a release not older than ${has}`);
  }
  // Every node is there already: only post-flight is left, whatever the step was called.
  if (target === running) return;
  const step = kindOf(running, target);
  if (step === undefined) {
    const allowed = `a release of ${minorOf(running)} or ${nextMinorOf(running)}; kubeadm takes one minor at a time`;
    throw new InputError('target_version', target, allowed);
  }
  if (step !== kind) throw new InputError('kind', kind, `${step}, which is what ${running} to ${target} is`);
}
