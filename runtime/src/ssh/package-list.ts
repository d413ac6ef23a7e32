import type { ClusterNode } from '../cluster/nodes.ts';
import { isRelease, type Release } from '../release.ts';
import { newestFirst, packageNames, releaseOfPackage } from '../releases/packages.ts';
import type { NodeShell } from './node-shell.ts';

/** Time limit of a node's package list, milliseconds. Long, as another program may hold apt's lock. */
const listTimeout = 20 * 60_000;

/** The releases that a node's package manager offers. */
export interface PackageList {
  /** Those of which it offers every package, newest first. */
  readonly releases: readonly Release[];
  /** The others, each with the names of the packages that it lacks (F49). */
  readonly incomplete: ReadonlyMap<Release, readonly string[]>;
  /** URL of the repository that offers the newest; undefined when the node does not report it. */
  readonly repository: string | undefined;
}

/**
 * Refreshes a node's Kubernetes package source and returns what `apt-cache madison` lists of kubeadm, kubelet
 * and kubectl (F13).
 *
 * @returns undefined in a dry-run, which refreshes nothing.
 * @throws ConnectionError when the node cannot be reached; ScriptError when its package manager offers no
 *   kubeadm.
 */
export async function packageList(shell: NodeShell, node: ClusterNode): Promise<PackageList | undefined> {
  const result = await shell.script(
    node,
    'list_packages',
    ['--package', packageNames.join(',')],
    listTimeout,
  );
  if (result.dryRun === true) return undefined;
  const texts = (value: unknown) => (Array.isArray(value) ? value.map(String) : []);
  const incomplete = texts(result.incomplete).flatMap((line): [Release, string[]][] => {
    const [release = '', ...missing] = line.split(' ');
    return isRelease(release) ? [[release, missing]] : [];
  });
  return {
    releases: newestFirst(texts(result.versions).map(releaseOfPackage)),
    incomplete: new Map(incomplete),
    repository: result.repository === undefined ? undefined : String(result.repository),
  };
}
