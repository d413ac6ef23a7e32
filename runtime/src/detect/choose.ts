import { formatDuration } from '../duration.ts';
import { compareReleases, kindOf, newest, patchLevelOf, type Release, type UpgradeKind } from '../release.ts';
import type { Candidate } from '../releases/repository.ts';
import type { Settings } from '../settings/settings.ts';

/** What the cluster runs. */
export interface Observation {
  /** Release of the API server. */
  readonly server: Release;
  /** Release of each node's kubelet. */
  readonly kubelets: readonly Release[];
  /**
   * The older of the API server and the oldest kubelet, so that a partial rollout counts as unfinished (F10).
   */
  readonly running: Release;
  /** Target of the rollout in flight; undefined without one. */
  readonly inFlight: Release | undefined;
  /**
   * Kind of that rollout while a node is in progress, even if every node is at the target. @default - no such
   * node
   */
  readonly unfinishedKind?: UpgradeKind | undefined;
}

/** The releases to choose from. */
export interface Candidates {
  /** Newer than the running release, of the same minor. */
  readonly patches: readonly Candidate[];
  /** Of the next minor. */
  readonly minors: readonly Candidate[];
}

/** A candidate that was not chosen. */
export interface Refusal {
  /** The candidate. */
  readonly release: Release;
  /** Whether it is a patch or a minor. */
  readonly kind: UpgradeKind;
  /** Why, as a phrase for a message. */
  readonly reason: string;
}

/** The result of choosing. */
export interface Decision {
  /** The release to upgrade to, and why. @default - nothing to do, or every candidate was refused */
  readonly target?: { readonly release: Release; readonly kind: UpgradeKind; readonly why: string };
  /** Every candidate that was considered and not chosen. */
  readonly refused: readonly Refusal[];
}

type Policy = Settings['policy'];

/** Releases that no cluster should run, each with the source of the fact. */
export const knownBadReleases: readonly { version: string; reason: string }[] = [
  { version: '1.35.0', reason: 'kubeadm breaks on an empty KUBELET_KUBEADM_ARGS (kubernetes/kubeadm #3279)' },
];

/**
 * Chooses the release to upgrade to: the target of an unfinished rollout, else the newest patch, else the
 * newest release of the next minor that policy allows. A kubelet that is ahead of the API server is not an
 * unfinished rollout: the node joined like that, and policy decides. Pure.
 *
 * @param now epoch milliseconds.
 */
export function choose(seen: Observation, candidates: Candidates, policy: Policy, now: number): Decision {
  const unfinished = unfinishedTarget(seen);
  if (unfinished !== undefined) return { target: unfinished, refused: [] };
  const refused: Refusal[] = [];
  const furthest = furthestOf(seen);
  const groups: [UpgradeKind, readonly Candidate[]][] = [
    ['patch', candidates.patches],
    ['minor', candidates.minors],
  ];
  for (const [kind, group] of groups) {
    for (const candidate of [...group].sort((a, b) => compareReleases(b.release, a.release))) {
      const { release } = candidate;
      const overtaken = compareReleases(release, furthest) < 0;
      const reason = overtaken
        ? `a node or the API server already runs ${furthest}`
        : (incompleteness(candidate) ?? policyObjection(candidate, kind, policy, now));
      if (reason === undefined)
        return { target: { release, kind, why: `newest ${kind} that policy allows` }, refused };
      refused.push({ release, kind, reason });
    }
  }
  return { refused };
}

/** The only candidate of a cluster with an unfinished rollout; undefined for any other cluster. */
export function unfinishedCandidate(seen: Observation): Candidates | undefined {
  const target = unfinishedTarget(seen);
  if (target === undefined) return undefined;
  const candidate = { release: target.release, publishedAt: undefined };
  const of = (kind: UpgradeKind) => (target.kind === kind ? [candidate] : []);
  return { patches: of('patch'), minors: of('minor') };
}

/** Ignores policy, because finishing a rollout is safer than leaving it unfinished. */
function unfinishedTarget(seen: Observation): Decision['target'] {
  const { server, running, inFlight, unfinishedKind } = seen;
  const furthest = furthestOf(seen);
  // A release that is older than some component, or more than one step away, cannot be the target.
  for (const release of [inFlight, server]) {
    if (release === undefined || compareReleases(release, furthest) < 0) continue;
    const kindThere = release === inFlight ? unfinishedKind : undefined;
    const kind = release === running ? kindThere : kindOf(running, release);
    const why =
      release === inFlight ? 'finishes the rollout in flight' : `the API server already runs ${release}`;
    if (kind !== undefined) return { release, kind, why };
  }
  return undefined;
}

const furthestOf = ({ server, kubelets }: Observation): Release => newest([server, ...kubelets]) ?? server;

/** No policy makes a release whole: without its kubelet no node could be upgraded to it (F49). */
const incompleteness = ({ missing = [] }: Candidate): string | undefined =>
  missing.length === 0 ? undefined : `not complete yet: no ${missing.join(', no ')}`;

/** Why policy does not allow the candidate; undefined when it does. */
function policyObjection(
  { release, publishedAt }: Candidate,
  kind: UpgradeKind,
  policy: Policy,
  now: number,
): string | undefined {
  if (policy.allow.includes(release)) return undefined;
  const denied = [...policy.deny, ...knownBadReleases].find((entry) => entry.version === release);
  if (denied) return `denied: ${denied.reason}`;
  if (kind === 'minor' && patchLevelOf(release) < policy.minimumMinorPatch) {
    return `policy accepts a new minor from patch level ${policy.minimumMinorPatch}`;
  }
  const minimum = policy.minimumAge[kind];
  if (minimum === 0) return undefined;
  if (publishedAt === undefined) return 'its release date is unknown';
  const age = now - publishedAt;
  if (age >= minimum) return undefined;
  return `released ${formatDuration(Math.max(0, age))} ago; policy accepts a ${kind} after ${formatDuration(minimum)}`;
}
