import { InputError } from '../errors.ts';
import { compareReleases, isRelease, minorOf, type Release } from '../release.ts';

/**
 * Version of a package → its release, `1.34.5-1.1` → `1.34.5`; undefined for a pre-release or anything else.
 */
export function releaseOfPackage(version: string): Release | undefined {
  const [upstream = ''] = version.split('-');
  return isRelease(upstream) ? upstream : undefined;
}

/** Sorts releases, newest first, without duplicates and undefined. */
export const newestFirst = (releases: readonly (Release | undefined)[]): Release[] =>
  [...new Set(releases.filter((r) => r !== undefined))].sort((a, b) => compareReleases(b, a));

/** A kubeadm package of a repository's `Packages` file. */
export interface RepositoryPackage {
  /** Its release. Several packages may have the same one. */
  readonly release: Release;
  /** Path below the repository's URL. */
  readonly filename: string;
}

/**
 * Reads the kubeadm packages of a `Packages` file (deb822 stanzas separated by empty lines).
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
    const release = one?.name === 'kubeadm' ? releaseOfPackage(one.version) : undefined;
    return one && release && minorOf(release) === minor ? [{ release, filename: one.filename }] : [];
  });
  if (found.length > 0) return found;
  const shown = text.slice(0, 60).replace(/\s+/g, ' ') || 'nothing';
  throw new InputError(
    'packages.repository',
    `${url} answering ${JSON.stringify(shown)}`,
    `a Packages file with kubeadm ${minor}`,
  );
}

/** Undefined when a field is missing, because the file is truncated. */
function parseStanza(stanza: string): { name: string; version: string; filename: string } | undefined {
  const field = (name: string) => new RegExp(`^${name}:\\s*(\\S+)\\s*$`, 'm').exec(stanza)?.[1];
  const [name, version, filename] = [field('Package'), field('Version'), field('Filename')];
  if (name === undefined || version === undefined || filename === undefined) return undefined;
  return { name, version, filename };
}
