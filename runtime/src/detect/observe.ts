import type { KubernetesClient } from '../cluster/client.ts';
import type { ClusterNode } from '../cluster/nodes.ts';
import { BlockedError, UpgradeError } from '../errors.ts';
import { type AtWork, readAtWork } from '../jobs/at-work.ts';
import {
  compareReleases,
  minorOf,
  minorsBetween,
  nextMinorOf,
  oldest,
  type Release,
  type UpgradeKind,
} from '../release.ts';
import { newestFirst } from '../releases/packages.ts';
import type { Candidate, PackageRepository, ReleaseSource } from '../releases/repository.ts';
import { type InFlight, type RolloutNotes, readNotes } from '../rollout/journal.ts';
import { isInProgress } from '../rollout/node-marks.ts';
import type { Settings } from '../settings/settings.ts';
import type { NodeShell } from '../ssh/node-shell.ts';
import { packageList } from '../ssh/package-list.ts';
import type { Candidates, Observation } from './choose.ts';
import type { DetectContext } from './detection.ts';

/** What the namespace, the lease and the Jobs say of a rollout. */
export interface Rollout extends RolloutNotes {
  readonly atWork: AtWork;
}

export async function readRollout(client: KubernetesClient, settings: Settings): Promise<Rollout> {
  const { namespace, annotationPrefix } = settings;
  const [notes, atWork] = await Promise.all([
    readNotes(client, namespace, annotationPrefix),
    readAtWork(client, namespace),
  ]);
  return { ...notes, atWork };
}

/** What there is to choose by. */
export interface Reading {
  readonly nodes: readonly ClusterNode[];
  readonly server: Release;
  readonly notes: RolloutNotes;
}

export async function readCluster({
  client,
  cluster,
  settings,
}: Pick<DetectContext, 'client' | 'cluster' | 'settings'>): Promise<Reading> {
  const [nodes, server, notes] = await Promise.all([
    cluster.nodes(),
    cluster.serverRelease(),
    readNotes(client, settings.namespace, settings.annotationPrefix),
  ]);
  return { nodes, server, notes };
}

/** Everything that API server and kubelets run. */
export const releasesIn = ({ nodes, server }: Reading): Release[] => [
  server,
  ...nodes.map((node) => node.release),
];

/** @param inFlight what the rollout that is marked goes to. @param kind of that rollout. */
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
 * What the rollout in flight goes to. One that nothing runs and no repository has was mistyped: there is nothing to finish.
 *
 * @param running everything that nodes and API server run.
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
 * A kubelet may be three minors behind the API server; kubeadm, and so a run, brings a node forward by one.
 *
 * @throws BlockedError with every kubelet that is out of reach.
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
    `kubelets are too far behind the API server ${server}: kubeadm skips no minor, so they have to be brought forward by hand, one minor at a time, until each is at most one behind`,
    reasons,
  );
}

/**
 * Looks up what could be gone to: patches as a control-plane node would install them, the next minor from its own
 * repository.
 *
 * @param shell refreshes that node's package list; without it, what is published is taken for what is in there.
 * @throws UpgradeError when either cannot be told; never an empty answer in its place (F12).
 */
export async function findCandidates(
  nodes: readonly ClusterNode[],
  running: Release,
  shell: NodeShell | undefined,
  repository: PackageRepository,
): Promise<Candidates> {
  const minor = minorOf(running);
  // Asked first: what is wrong with the repository is said better by it than by a node's apt.
  const published = await repository.packages(minor);
  const offered = shell
    ? await offeredByNode(nodes, minor, shell)
    : newestFirst(published.map((one) => one.release));
  const newer = offered.filter((release) => compareReleases(release, running) > 0);
  const dated =
    (minorOfRelease: string, packages: typeof published) =>
    async (release: Release): Promise<Candidate> => {
      const found = packages.find((one) => one.release === release);
      const publishedAt = found && (await repository.publishedAt(minorOfRelease, found.filename));
      return { release, publishedAt };
    };
  const next = nextMinorOf(running);
  const nextPackages = (await repository.hasMinor(next)) ? await repository.packages(next) : [];
  const nextReleases = newestFirst(nextPackages.map((one) => one.release));
  return {
    patches: await Promise.all(newer.map(dated(minor, published))),
    minors: await Promise.all(nextReleases.map(dated(next, nextPackages))),
  };
}

/** What `apt-cache madison kubeadm` offers there, right after its list was refreshed (F13). */
async function offeredByNode(
  nodes: readonly ClusterNode[],
  minor: string,
  shell: NodeShell,
): Promise<Release[]> {
  const node = nodes.find((one) => one.controlPlane && one.ready);
  if (node === undefined)
    throw new UpgradeError('failed', 'no control-plane node is Ready to be asked for its packages');
  const { releases = [], repository = 'unknown' } = (await packageList(shell, node)) ?? {};
  const ofMinor = releases.filter((release) => minorOf(release) === minor);
  if (ofMinor.length > 0) return ofMinor;
  throw new UpgradeError(
    'failed',
    `${node.name} is offered no kubeadm ${minor}, only ${releases.join(', ') || 'nothing'}`,
    {
      hint: `Its package repository is ${repository}; it should be that of v${minor}.`,
    },
  );
}
