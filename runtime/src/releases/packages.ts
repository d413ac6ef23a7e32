import { InputError } from '../errors.ts';
import { compareReleases, isRelease, minorOf, type Release } from '../release.ts';

/** The packages of a release. Each has its own revision (F49). */
export const packageNames = ['kubeadm', 'kubelet', 'kubectl'] as const;
type PackageName = (typeof packageNames)[number];

/**
 * Version of a package → its release, `1:1.34.5+vendor-1.1` → `1.34.5`; undefined for a pre-release or
 * anything else.
 */
export function releaseOfPackage(version: string): Release | undefined {
  const [upstream = ''] = version.replace(/^\d+:/, '').split(/[-+]/);
  return isRelease(upstream) ? upstream : undefined;
}

/** Sorts releases, newest first, without duplicates and undefined. */
export const newestFirst = (releases: readonly (Release | undefined)[]): Release[] =>
  [...new Set(releases.filter((r) => r !== undefined))].sort((a, b) => compareReleases(b, a));

/** One of a release's packages, in a repository's `Packages` file. */
export interface RepositoryPackage {
  /** kubeadm, kubelet or kubectl. */
  readonly name: PackageName;
  /** Its release. Several packages may have the same one. */
  readonly release: Release;
  /** Such as `amd64`. */
  readonly architecture: string;
  /** Path below the repository's URL. */
  readonly filename: string;
}

/**
 * Reads the packages of releases in a `Packages` file (deb822 stanzas separated by empty lines).
 *
 * @param minor packages of other minors are ignored.
 * @throws InputError for anything else than a whole `Packages` file with kubeadm of this minor; an unreadable
 *   file must never mean "nothing new" (F12).
 */
export function parsePackages(text: string, url: string, minor: string): RepositoryPackage[] {
  const stanzas = text.split(/\n{2,}/).filter((stanza) => /^Package:/m.test(stanza));
  const packages = stanzas.map(parseStanza);
  if (packages.includes(undefined) || (stanzas.length > 0 && !text.endsWith('\n'))) {
    throw new InputError(
      'packages.repository',
      `${url} answering a Packages file that is cut off`,
      'a whole Packages file',
    );
  }
  const found = packages.flatMap((one) => {
    const name = packageNames.find((known) => known === one?.name);
    const release = one && releaseOfPackage(one.version);
    if (!one || !name || !release || minorOf(release) !== minor) return [];
    return [{ name, release, architecture: one.architecture, filename: one.filename }];
  });
  if (found.some(({ name }) => name === 'kubeadm')) return found;
  const shown = text.slice(0, 60).replace(/\s+/g, ' ') || 'nothing';
  throw new InputError(
    'packages.repository',
    `${url} answering ${JSON.stringify(shown)}`,
    `a Packages file with kubeadm ${minor}`,
  );
}

/** Undefined when a field is missing, because the file is truncated. */
function parseStanza(
  stanza: string,
): { name: string; version: string; architecture: string; filename: string } | undefined {
  const field = (name: string) => new RegExp(`^${name}:\\s*(\\S+)\\s*$`, 'm').exec(stanza)?.[1];
  const [name, version, filename] = [field('Package'), field('Version'), field('Filename')];
  if (name === undefined || version === undefined || filename === undefined) return undefined;
  return { name, version, architecture: field('Architecture') ?? everyArchitecture, filename };
}

const everyArchitecture = 'all';

/**
 * What a release lacks in a repository: `kubelet`, or `kubelet for arm64` when other architectures have it;
 * empty when it is whole. A release that is being published or mirrored is not whole yet (F49).
 *
 * @param architectures those of the nodes. One that the repository does not have at all is not asked, as such
 *   nodes use another one; without any of them, one architecture that is whole is enough.
 */
export function missingPackages(
  packages: readonly RepositoryPackage[],
  release: Release,
  architectures: readonly string[],
): string[] {
  const inRepository = [...new Set(packages.map((one) => one.architecture))];
  const asked = architectures.filter((one) => [one, everyArchitecture].some((a) => inRepository.includes(a)));
  const ofRelease = packages.filter((one) => one.release === release);
  const has = (name: PackageName, architecture: string) =>
    ofRelease.some(
      (one) => one.name === name && [architecture, everyArchitecture].includes(one.architecture),
    );
  const isWhole = (architecture: string) => packageNames.every((name) => has(name, architecture));
  if (asked.length === 0 && inRepository.some(isWhole)) return [];
  const all = asked.length > 0 ? asked : inRepository;
  return packageNames.flatMap((name) => {
    const without = all.filter((architecture) => !has(name, architecture));
    return without.length === all.length
      ? [name]
      : without.map((architecture) => `${name} for ${architecture}`);
  });
}
