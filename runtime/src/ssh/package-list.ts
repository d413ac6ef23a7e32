import type { ClusterNode } from '../cluster/nodes.ts';
import type { Release } from '../release.ts';
import { newestFirst, releaseOfPackage } from '../releases/packages.ts';
import type { NodeShell } from './node-shell.ts';

/** How long a node's package list may take, milliseconds: another program may hold apt's lock for a while. */
const listTimeout = 20 * 60_000;

/** What a node would install kubeadm from. */
export interface PackageList {
  /** Newest first. */
  readonly releases: readonly Release[];
  /** URL of the repository that the newest comes from. */
  readonly repository: string;
}

/**
 * What `apt-cache madison kubeadm` offers on a node, right after its list was refreshed (F13).
 *
 * @returns undefined in a dry run, which refreshes nothing.
 * @throws UpgradeError when the node cannot be reached or its package manager has none.
 */
export async function packageList(shell: NodeShell, node: ClusterNode): Promise<PackageList | undefined> {
  const result = await shell.script(node, 'list_packages', ['--package', 'kubeadm'], listTimeout);
  if (result.dryRun === true) return undefined;
  const versions = Array.isArray(result.versions) ? result.versions.map(String) : [];
  return {
    releases: newestFirst(versions.map(releaseOfPackage)),
    repository: String(result.repository ?? 'unknown'),
  };
}
