import { formatDuration } from '../duration.ts';
import { compareReleases, kindOf, newest, patchLevelOf, type Release, type UpgradeKind } from '../release.ts';
import type { Candidate } from '../releases/repository.ts';
import type { Settings } from '../settings/settings.ts';

/** What the cluster runs. */
export interface Observation {
  readonly server: Release;
  readonly kubelets: readonly Release[];
  /** The older of the API server and the oldest kubelet: a half-finished rollout is not finished (F10). */
  readonly running: Release;
  /** Of the rollout that is marked as in flight. */
  readonly inFlight: Release | undefined;
  /** Kind of that rollout, while there is a node that it has begun and not finished: at its target, too. */
  readonly unfinishedKind?: UpgradeKind | undefined;
}

export interface Candidates {
  /** Newer than running, of its minor. */
  readonly patches: readonly Candidate[];
  /** Of the next minor. */
  readonly minors: readonly Candidate[];
}

export interface Refusal {
  readonly release: Release;
  readonly kind: UpgradeKind;
  readonly reason: string;
}

export interface Decision {
  readonly target?: { readonly release: Release; readonly kind: UpgradeKind; readonly why: string };
  /** Every candidate that was looked at and not taken. */
  readonly refused: readonly Refusal[];
}

type Policy = Settings['policy'];

/** Releases that nobody should go to, each with the source of the fact. */
export const knownBadReleases: readonly { version: string; reason: string }[] = [
  { version: '1.35.0', reason: 'kubeadm breaks on an empty KUBELET_KUBEADM_ARGS (kubernetes/kubeadm #3279)' },
];

/**
 * Chooses the release to go to: an unfinished rollout first, then the newest patch, then the newest next minor that
 * policy lets pass. A kubelet that is ahead of the API server began no rollout: it joined so, and policy decides. Pure.
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
      const reason = overtaken ? `${furthest} runs here already` : whyNot(candidate, kind, policy, now);
      if (reason === undefined)
        return { target: { release, kind, why: `newest ${kind} that policy lets pass` }, refused };
      refused.push({ release, kind, reason });
    }
  }
  return { refused };
}

/** The only candidate of a cluster that stands half way; undefined for any other. */
export function unfinishedCandidate(seen: Observation): Candidates | undefined {
  const target = unfinishedTarget(seen);
  if (target === undefined) return undefined;
  const candidate = { release: target.release, publishedAt: undefined };
  const of = (kind: UpgradeKind) => (target.kind === kind ? [candidate] : []);
  return { patches: of('patch'), minors: of('minor') };
}

/** Finishing is safer than staying half way, whatever policy says of the release by now. */
function unfinishedTarget(seen: Observation): Decision['target'] {
  const { server, running, inFlight, unfinishedKind } = seen;
  const furthest = furthestOf(seen);
  // What was overtaken, or is not one step away, is not what this cluster is half way to.
  for (const release of [inFlight, server]) {
    if (release === undefined || compareReleases(release, furthest) < 0) continue;
    const kindThere = release === inFlight ? unfinishedKind : undefined;
    const kind = release === running ? kindThere : kindOf(running, release);
    const why =
      release === inFlight ? 'finishes the rollout in flight' : `the API server runs ${release} already`;
    if (kind !== undefined) return { release, kind, why };
  }
  return undefined;
}

const furthestOf = ({ server, kubelets }: Observation): Release => newest([server, ...kubelets]) ?? server;

function whyNot(
  { release, publishedAt }: Candidate,
  kind: UpgradeKind,
  policy: Policy,
  now: number,
): string | undefined {
  if (policy.allow.includes(release)) return undefined;
  const denied = [...policy.deny, ...knownBadReleases].find((entry) => entry.version === release);
  if (denied) return `denied: ${denied.reason}`;
  if (kind === 'minor' && patchLevelOf(release) < policy.minimumMinorPatch) {
    return `a new minor is taken from .${policy.minimumMinorPatch} on`;
  }
  const minimum = policy.minimumAge[kind];
  if (minimum === 0) return undefined;
  if (publishedAt === undefined) return 'its age is not known';
  const age = now - publishedAt;
  if (age >= minimum) return undefined;
  return `out for ${formatDuration(Math.max(0, age))}, and a ${kind} is taken after ${formatDuration(minimum)}`;
}
