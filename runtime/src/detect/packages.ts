import { InputError } from '../errors.ts';
import { compareReleases, isRelease, minorOf, type Release } from '../release.ts';

/** `1.34.5-1.1` → `1.34.5`; undefined for a pre-release or anything else. */
export function releaseOfPackage(version: string): Release | undefined {
  const [upstream = ''] = version.split('-');
  return isRelease(upstream) ? upstream : undefined;
}

/** Newest first, each once. */
export const newestFirst = (releases: readonly (Release | undefined)[]): Release[] =>
  [...new Set(releases.filter((r) => r !== undefined))].sort((a, b) => compareReleases(b, a));

/** A package of a repository's `Packages` file. */
export interface RepositoryPackage {
  readonly release: Release;
  /** Path below the repository's URL. */
  readonly filename: string;
}

/**
 * Reads the kubeadm packages of a `Packages` file (deb822 stanzas separated by empty lines).
 *
 * @param minor only these belong there.
 * @throws InputError for anything that is not such a file, or names no kubeadm (F12: never "nothing new").
 */
export function parsePackages(text: string, url: string, minor: string): RepositoryPackage[] {
  const stanzas = text.split(/\n{2,}/).filter((stanza) => /^Package:\s*kubeadm\s*$/m.test(stanza));
  const found: RepositoryPackage[] = [];
  for (const stanza of stanzas) {
    const field = (name: string) => new RegExp(`^${name}:\\s*(\\S+)\\s*$`, 'm').exec(stanza)?.[1];
    const version = field('Version');
    const filename = field('Filename');
    if (version === undefined || filename === undefined) {
      throw new InputError(
        'packages.repository',
        `${url} with a kubeadm stanza that is cut off`,
        'a whole Packages file',
      );
    }
    const release = releaseOfPackage(version);
    if (release !== undefined && minorOf(release) === minor) found.push({ release, filename });
  }
  if (found.length > 0) return found;
  const shown = text.slice(0, 60).replace(/\s+/g, ' ') || 'nothing';
  throw new InputError(
    'packages.repository',
    `${url} answering ${JSON.stringify(shown)}`,
    `a Packages file with kubeadm ${minor}`,
  );
}
