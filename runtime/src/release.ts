import semver from 'semver';
import { InputError } from './errors.ts';

/**
 * A Kubernetes release, `X.Y.Z` without a leading `v`; never a pre-release. The pattern is strict because the
 * text is used in command lines on the nodes.
 */
export type Release = string & { readonly __release: unique symbol };

/** How far one upgrade goes: within a minor, or to the next one. */
export type UpgradeKind = 'patch' | 'minor';

const releasePattern = /^(0|[1-9]\d{0,3})\.(0|[1-9]\d{0,3})\.(0|[1-9]\d{0,3})$/;

/** Whether `text` is exactly `X.Y.Z`. */
export function isRelease(text: string): text is Release {
  return releasePattern.test(text);
}

/** Checks that `text` is a release. @throws InputError naming `field` when it is not `X.Y.Z`. */
export function parseRelease(field: string, text: string): Release {
  if (!isRelease(text)) {
    throw new InputError(field, text, 'a release X.Y.Z such as 1.34.5 (no leading v, no pre-release)');
  }
  return text;
}

/**
 * The release in a `gitVersion` as the API server and the kubelets report it: `v1.34.2` or `v1.34.2+k3s1` →
 * `1.34.2`. Undefined for pre-releases and for anything else.
 */
export function releaseOf(gitVersion: string): Release | undefined {
  const bare = gitVersion.replace(/^v/, '').replace(/\+.*$/, '');
  return isRelease(bare) ? bare : undefined;
}

/** Compares two releases by number, for sorting oldest first. */
export const compareReleases = (a: Release, b: Release): -1 | 0 | 1 => semver.compare(a, b);
/** The oldest of the releases; undefined when there are none. */
export const oldest = (releases: readonly Release[]): Release | undefined =>
  [...releases].sort(semver.compare)[0];
/** The newest of the releases; undefined when there are none. */
export const newest = (releases: readonly Release[]): Release | undefined =>
  [...releases].sort(semver.rcompare)[0];

/** `1.34.5` → `1.34`. */
export const minorOf = (release: Release): string => `${semver.major(release)}.${semver.minor(release)}`;
/** `1.34.5` → 5. */
export const patchLevelOf = (release: Release): number => semver.patch(release);

/** How many minors `to` is ahead of `from`; negative when it is behind, undefined across major versions. */
export function minorsBetween(from: Release, to: Release): number | undefined {
  if (semver.major(from) !== semver.major(to)) return undefined;
  return semver.minor(to) - semver.minor(from);
}

/** `1.34.5` → `1.35`. */
export const nextMinorOf = (release: Release): string =>
  `${semver.major(release)}.${semver.minor(release) + 1}`;

/** The kind of the step between two releases; undefined when one step does not get there (F14). */
export function kindOf(from: Release, to: Release): UpgradeKind | undefined {
  const minors = minorsBetween(from, to);
  if (minors === 1) return 'minor';
  return minors === 0 ? 'patch' : undefined;
}
