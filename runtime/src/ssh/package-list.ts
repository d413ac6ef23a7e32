import type { ClusterNode } from '../cluster/nodes.ts';
import type { Release } from '../release.ts';
import { newestFirst, releaseOfPackage } from '../releases/packages.ts';
import type { NodeShell } from './node-shell.ts';

/** Time limit of a node's package list, milliseconds. Long, as another program may hold apt's lock. */
const listTimeout = 20 * 60_000;

/** The kubeadm packages that a node's package manager offers. */
export interface PackageList {
  /** Newest first. */
  readonly releases: readonly Release[];
  /** URL of the repository that offers the newest; undefined when the node does not report it. */
  readonly repository: string | undefined;
}

/**
 * Refreshes a node's Kubernetes package source and returns what `apt-cache madison kubeadm` lists (F13).
 *
 * @returns undefined in a dry-run, which refreshes nothing.
 * @throws ConnectionError when the node cannot be reached; ScriptError when its package manager offers no
 *   kubeadm.
 */
export async function packageList(shell: NodeShell, node: ClusterNode): Promise<PackageList | undefined> {
  const result = await shell.script(node, 'list_packages', ['--package', 'kubeadm'], listTimeout);
  if (result.dryRun === true) return undefined;
  const versions = Array.isArray(result.versions) ? result.versions.map(String) : [];
  return {
    releases: newestFirst(versions.map(releaseOfPackage)),
    repository: result.repository === undefined ? undefined : String(result.repository),
  };
}
