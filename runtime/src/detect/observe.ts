import type { KubernetesClient } from '../cluster/client.ts';
import { architecturesOf, type ClusterNode } from '../cluster/nodes.ts';
import { BlockedError, UpgradeError } from '../errors.ts';
import { type RunInProgress, readRunInProgress } from '../jobs/run-in-progress.ts';
import {
  compareReleases,
  minorOf,
  minorsBetween,
  nextMinorOf,
  oldest,
  type Release,
  type UpgradeKind,
} from '../release.ts';
import { missingPackages, newestFirst, type RepositoryPackage } from '../releases/packages.ts';
import type { Candidate, PackageRepository, ReleaseSource } from '../releases/repository.ts';
import { type InFlight, type RolloutNotes, readNotes } from '../rollout/journal.ts';
import { annotationsReader, isInProgress } from '../rollout/node-annotations.ts';
import type { Settings } from '../settings/settings.ts';
import type { NodeShell } from '../ssh/node-shell.ts';
import { type PackageList, packageList } from '../ssh/package-list.ts';
import type { Candidates, Observation } from './choose.ts';
import type { DetectContext } from './detection.ts';

/** A rollout according to the namespace, and the run in progress. */
export interface Rollout extends RolloutNotes {
  /** The run in progress, if any. */
  readonly inProgress: RunInProgress;
}

/** Reads the annotations of the namespace, the lease, the Jobs and their pods. */
export async function readRollout(client: KubernetesClient, settings: Settings): Promise<Rollout> {
  const { namespace, annotationPrefix } = settings;
  const [notes, inProgress] = await Promise.all([
    readNotes(client, namespace, annotationPrefix),
    readRunInProgress(client, namespace),
  ]);
  return { ...notes, inProgress };
}

/** What the choice depends on. */
export interface Reading {
  /** All nodes, in the order of a rollout. */
  readonly nodes: readonly ClusterNode[];
  /** Release of the API server. */
  readonly server: Release;
  /** What the namespace's annotations say about rollouts. */
  readonly notes: RolloutNotes;
}

/** Reads the namespace, the nodes and the API server's release, each once. */
export async function readCluster({
  client,
  cluster,
  settings,
}: Pick<DetectContext, 'client' | 'cluster' | 'settings'>): Promise<Reading> {
  const { namespace, annotationPrefix: prefix } = settings;
  const notes = await readNotes(client, namespace, prefix);
  const [nodes, server] = await Promise.all([
    cluster.nodes(annotationsReader(prefix, notes.inFlight)),
    cluster.serverRelease(),
  ]);
  return { nodes, server, notes };
}

/** The releases of the API server and of all kubelets, with duplicates. */
export const releasesIn = ({ nodes, server }: Reading): Release[] => [
  server,
  ...nodes.map((node) => node.release),
];

/**
 * Builds the observation. Pure.
 *
 * @param inFlight target of the rollout in flight.
 * @param kind kind of that rollout.
 */
export function observe(
  nodes: readonly ClusterNode[],
  server: Release,
  inFlight: Release | undefined,
  kind: UpgradeKind | undefined,
): Observation {
  const kubelets = nodes.map((node) => node.release);
  const running = oldest([server, ...kubelets]) ?? server;
  const unfinishedKind = nodes.some(isInProgress) ? (kind ?? 'patch') : undefined;
  return { server, kubelets, running, inFlight, unfinishedKind };
}

/**
 * The target of the rollout in flight. Undefined for a target that nothing runs and no repository has: it was
 * mistyped, so there is nothing to finish.
 *
 * @param running the releases of the API server and of all kubelets.
 */
export async function targetInFlight(
  inFlight: InFlight | undefined,
  running: readonly Release[],
  repository: ReleaseSource,
): Promise<Release | undefined> {
  const target = inFlight?.target;
  if (target === undefined || running.includes(target)) return target;
  const minor = minorOf(target);
  const published = (await repository.hasMinor(minor)) ? await repository.packages(minor) : [];
  return published.some(({ release }) => release === target) ? target : undefined;
}

/**
 * Checks that no kubelet is more than one minor behind the API server. Kubernetes supports three, but
 * kubeadm, and so a run, upgrades a node by at most one minor.
 *
 * @throws BlockedError naming every kubelet that is too far behind.
 */
export function checkReach(nodes: readonly ClusterNode[], server: Release): void {
  const behind = nodes
    .map(({ name, release }) => ({ name, release, minors: minorsBetween(release, server) ?? 0 }))
    .filter(({ minors }) => minors > 1);
  if (behind.length === 0) return;
  const reasons = behind.map(
    ({ name, release, minors }) => `kubelet ${release} of ${name} is ${minors} minors behind`,
  );
  throw new BlockedError(
    `kubelets are too far behind the API server ${server}: kubeadm cannot skip a minor, so upgrade them manually, one minor at a time, until each is at most one behind`,
    reasons,
  );
}

/**
 * Finds the releases to choose from: patches that a control-plane node's package manager offers, and the
 * releases in the repository of the next minor.
 *
 * @param shell refreshes that node's package list; without it, all published patches count as offered.
 * @throws UpgradeError when either cannot be read; never returns an empty list instead (F12).
 */
export async function findCandidates(
  nodes: readonly ClusterNode[],
  running: Release,
  shell: NodeShell | undefined,
  repository: PackageRepository,
): Promise<Candidates> {
  const minor = minorOf(running);
  // Read first, because an error of the repository itself is clearer than that of a node's apt.
  const published = await repository.packages(minor);
  const list = shell && (await offeredByNode(nodes, minor, shell));
  const offered = list ? releasesOn(list, minor) : newestFirst(published.map((one) => one.release));
  const newer = offered.filter((release) => compareReleases(release, running) > 0);
  const architectures = architecturesOf(nodes);
  const dated =
    (minorOfRelease: string, packages: readonly RepositoryPackage[], lacking?: PackageList['incomplete']) =>
    async (release: Release): Promise<Candidate> => {
      const found = packages.find((one) => one.release === release && one.name === 'kubeadm');
      const publishedAt = found && (await repository.publishedAt(minorOfRelease, found.filename));
      // A node may use another repository. A release that this one does not have at all has no known date.
      const isThere = packages.some((one) => one.release === release);
      const published = isThere ? missingPackages(packages, release, architectures) : [];
      return {
        release,
        publishedAt,
        missing: [...new Set([...(lacking?.get(release) ?? []), ...published])],
      };
    };
  const next = nextMinorOf(running);
  const nextPackages = (await repository.hasMinor(next)) ? await repository.packages(next) : [];
  const nextReleases = newestFirst(nextPackages.map((one) => one.release));
  return {
    patches: await Promise.all(newer.map(dated(minor, published, list?.incomplete))),
    minors: await Promise.all(nextReleases.map(dated(next, nextPackages))),
  };
}

/** The releases of a minor in the list, also those that are not complete, newest first. */
const releasesOn = ({ releases, incomplete }: PackageList, minor: string): Release[] =>
  newestFirst([...releases, ...incomplete.keys()]).filter((release) => minorOf(release) === minor);

/**
 * What `apt-cache madison` lists on a control-plane node, right after refreshing its package list (F13). In a
 * dry-run, nothing.
 */
async function offeredByNode(
  nodes: readonly ClusterNode[],
  minor: string,
  shell: NodeShell,
): Promise<PackageList> {
  const node = nodes.find((one) => one.controlPlane && one.ready);
  if (node === undefined)
    throw new UpgradeError('failed', 'no control-plane node is Ready, so no package list can be read');
  const list = await packageList(shell, node);
  if (list !== undefined && releasesOn(list, minor).length > 0) return list;
  const { releases = [], repository = 'unknown' } = list ?? {};
  throw new UpgradeError(
    'failed',
    `the package manager of ${node.name} offers no kubeadm ${minor}, only ${releases.join(', ') || 'nothing'}`,
    {
      hint: `Its package repository is ${repository}; it should be that of v${minor}.`,
    },
  );
}
