/**
 * A rollout's annotations on nodes: which nodes it cordoned, changed, left unfinished, or is soaking, and
 * what ran there before. No other module reads or writes them.
 */

import { isConflict, isNotFound } from '../cluster/api-error.ts';
import type { KubernetesClient } from '../cluster/client.ts';
import { type ClusterNode, type NodeAnnotations, type ReadAnnotations, timeOf } from '../cluster/nodes.ts';
import { readyDaemonSets } from '../cluster/pods-on-node.ts';
import type { ClusterReader } from '../cluster/reader.ts';
import type { ClusterWriter } from '../cluster/writer.ts';
import { UpgradeError } from '../errors.ts';
import { annotationKeys } from '../names.ts';
import type { Settings } from '../settings/settings.ts';
import { type InFlight, type Journal, readNotes } from './journal.ts';

/** What is needed to write these annotations; a stage's context has all of it. */
export interface AnnotationPorts {
  /** Reads the nodes before each write, and their pods before the first change. */
  readonly cluster: Pick<ClusterReader, 'nodes' | 'podsOn'>;
  /** Writes the annotations and the cordon. */
  readonly writer: Pick<ClusterWriter, 'patchNode'>;
  /** Identifies the rollout in flight. */
  readonly journal: Pick<Journal, 'read'>;
  /** The prefix of the annotations. */
  readonly settings: Pick<Settings, 'annotationPrefix'>;
}

/** Value of `unfinished` on a node on which at most kubeadm's step was started. */
const kubeadmMark = 'kubeadm';

/**
 * Parses these annotations of a node. Only those of the rollout in flight count (F47): what one before it
 * left says nothing about the node as it is now.
 *
 * @param prefix `annotationPrefix` of the settings.
 */
export function annotationsReader(prefix: string, inFlight: InFlight | undefined): ReadAnnotations {
  const keys = annotationKeys(prefix);
  return (annotations, unschedulable): NodeAnnotations => {
    const mark = annotations[keys.cordoned];
    const isMarked = mark !== undefined && mark === inFlight?.started;
    const changedAt = timeOf(annotations[keys.changed]);
    const changed = isChanged({ changedAt }, inFlight);
    const soakedFrom = timeOf(annotations[keys.soaking]);
    const isSoaking = inFlight !== undefined && soakedFrom !== undefined && soakedFrom >= inFlight.startedAt;
    // While a drained node changes, our mark alone says so. That stays true when a person uncordons the node.
    const isMarkNeeded = isMarked && (unschedulable || changed);
    const stale: [key: string, counts: boolean][] = [
      [keys.cordoned, isMarkNeeded],
      [keys.changed, changedAt !== undefined],
      [keys.daemonSets, changedAt !== undefined],
      [keys.unfinished, changed],
      [keys.soaking, isSoaking],
    ];
    return {
      cordonedByUs: isMarked && unschedulable,
      cordonedEarlier: mark !== undefined && !isMarked && unschedulable,
      changedAt,
      daemonSets: changed ? (annotations[keys.daemonSets]?.split(' ').filter(Boolean) ?? []) : [],
      unfinished: changed && (keys.unfinished in annotations || (isMarked && !unschedulable)),
      kubeadmOnly: changed && annotations[keys.unfinished] === kubeadmMark,
      soakingSince: isSoaking ? soakedFrom : undefined,
      stale: stale.flatMap(([key, counts]) => (key in annotations && !counts ? [key] : [])),
    };
  };
}

/** Reads the rollout in flight, and returns what parses its annotations. */
export async function rolloutAnnotations(
  client: KubernetesClient,
  { namespace, annotationPrefix }: Pick<Settings, 'namespace' | 'annotationPrefix'>,
): Promise<ReadAnnotations> {
  const { inFlight } = await readNotes(client, namespace, annotationPrefix);
  return annotationsReader(annotationPrefix, inFlight);
}

/** Whether the rollout in flight, not an earlier one, has started to change this node. */
export const isChanged = (
  { changedAt }: Pick<NodeAnnotations, 'changedAt'>,
  inFlight: InFlight | undefined,
): boolean => inFlight !== undefined && changedAt !== undefined && changedAt >= inFlight.startedAt;

/** Now, but not before the rollout's start, which may be of a machine whose clock is ahead. */
const stampOf = (inFlight: InFlight | undefined): string =>
  new Date(Math.max(Date.now(), inFlight?.startedAt ?? 0)).toISOString();

/**
 * Whether the rollout in flight has started on this node and not finished: the node has our cordon or, when
 * a person cordoned it or the work on it needs no drain, the annotation `unfinished`.
 */
export const isInProgress = (node: NodeAnnotations): boolean => node.cordonedByUs || node.unfinished;

/** Whether the rollout in flight is unfinished here. Finishing it repairs what is unhealthy (F5). */
export const isInProgressOf = (node: NodeAnnotations, inFlight: InFlight | undefined): boolean =>
  isChanged(node, inFlight) && isInProgress(node);

const keysOf = ({ settings }: Pick<AnnotationPorts, 'settings'>) => annotationKeys(settings.annotationPrefix);

/**
 * Cordons the node and records in the same patch that the cordon is ours. Idempotent: a node that is already
 * cordoned, by us or by a person, is not written.
 *
 * @throws UpgradeError when the node has left the cluster, or no rollout is in flight: nobody could tell
 *   whose cordon it is.
 */
export async function cordon(ports: AnnotationPorts, name: string): Promise<'cordoned' | 'already'> {
  const keys = keysOf(ports);
  const inFlight = await ports.journal.read();
  if (inFlight === undefined)
    throw new UpgradeError(
      'failed',
      `${name} is not cordoned: somebody has cleared the state of this rollout`,
    );
  let end: 'cordoned' | 'already' = 'already';
  await changeNode(ports, name, ({ unschedulable }) => {
    end = unschedulable ? 'already' : 'cordoned';
    return unschedulable ? undefined : [{ [keys.cordoned]: inFlight.started }, true];
  });
  return end;
}

/**
 * Uncordons the node if this rollout cordoned it (F11), and records in the same patch that the node is
 * finished and whether its soak is due. May be called twice; the soak then starts again.
 *
 * @throws UpgradeError when the node has left the cluster.
 */
export async function readmit(ports: AnnotationPorts, name: string, soak: boolean): Promise<void> {
  const keys = keysOf(ports);
  const soaking = soak ? stampOf(await ports.journal.read()) : null;
  await changeNode(ports, name, ({ cordonedByUs, unfinished }) => {
    const annotations = {
      [keys.cordoned]: null,
      [keys.soaking]: soaking,
      ...(unfinished && { [keys.unfinished]: null }),
    };
    return [annotations, cordonedByUs ? false : undefined];
  });
}

type Annotations = Readonly<Record<string, string | null>>;
type Change = [annotations: Annotations, unschedulable: boolean | undefined];

/** Removes in the same write what a rollout before left on the node. */
const overStale = ({ stale }: ClusterNode, annotations: Annotations): Annotations => ({
  ...Object.fromEntries(stale.map((key) => [key, null])),
  ...annotations,
});

/**
 * Reads the node and writes what `decide` returns for it. Reads and decides again if somebody else wrote the
 * node in between, so that a person's cordon is never recorded as ours.
 *
 * @param decide returns undefined when nothing has to be written.
 */
async function changeNode(
  ports: AnnotationPorts,
  name: string,
  decide: (node: ClusterNode) => Change | undefined,
): Promise<void> {
  for (;;) {
    const node = await findNode(ports, name);
    const change = decide(node);
    if (change === undefined) return;
    try {
      const [annotations, unschedulable] = change;
      return await ports.writer.patchNode(name, overStale(node, annotations), unschedulable, node.version);
    } catch (error) {
      if (!isConflict(error)) throw error;
    }
  }
}

/** Reads one node. @throws UpgradeError when it has left the cluster. */
export async function findNode(
  { cluster }: Pick<AnnotationPorts, 'cluster'>,
  name: string,
): Promise<ClusterNode> {
  const node = (await cluster.nodes()).find((one) => one.name === name);
  if (node === undefined)
    throw new UpgradeError('failed', `node ${name} has left the cluster during its upgrade`);
  return node;
}

/** What is written before the rollout's first change of a node: when that was, and what ran there (F34). */
async function firstChange(
  { cluster, settings }: AnnotationPorts,
  name: string,
  inFlight: InFlight | undefined,
): Promise<Annotations> {
  const { changed, daemonSets } = keysOf({ settings });
  const ready = readyDaemonSets(await cluster.podsOn(name));
  return { [changed]: stampOf(inFlight), [daemonSets]: ready.join(' ') };
}

/**
 * Records on the node when this rollout first changed it, and that it is unfinished there. Idempotent.
 *
 * @param needsAnnotation whether to set `unfinished` on a node that does not have our cordon.
 * @throws UpgradeError when the node has left the cluster.
 */
export async function recordChange(
  ports: AnnotationPorts,
  name: string,
  needsAnnotation: (node: ClusterNode) => boolean,
): Promise<void> {
  const node = await findNode(ports, name);
  const inFlight = await ports.journal.read();
  const changed = isChanged(node, inFlight);
  if (changed && isInProgress(node)) return;
  const annotations = {
    ...(!changed && (await firstChange(ports, name, inFlight))),
    // Our cordon already records that the node is unfinished.
    ...(!isInProgress(node) && needsAnnotation(node) && { [keysOf(ports).unfinished]: stampOf(inFlight) }),
  };
  await ports.writer.patchNode(name, overStale(node, annotations));
}

/**
 * Records on a node that serves that kubeadm's step starts there: changed by this rollout, and unfinished.
 * Idempotent.
 *
 * @throws UpgradeError when the node has left the cluster.
 */
export async function recordKubeadm(ports: AnnotationPorts, name: string): Promise<void> {
  const inFlight = await ports.journal.read();
  const first = await firstChange(ports, name, inFlight);
  await changeNode(ports, name, (node) => {
    const changed = isChanged(node, inFlight);
    if (changed && isInProgress(node)) return undefined;
    return [
      {
        ...(!changed && first),
        ...(!isInProgress(node) && { [keysOf(ports).unfinished]: kubeadmMark }),
      },
      undefined,
    ];
  });
}

/**
 * Records on a drained node that its kubelet may change from now on, so that it stays cordoned until it is
 * finished. Idempotent.
 *
 * @throws UpgradeError when the node has left the cluster.
 */
export async function recordKubelet(ports: AnnotationPorts, name: string): Promise<void> {
  await recordChange(ports, name, () => true);
  const { unfinished } = keysOf(ports);
  await changeNode(ports, name, ({ kubeadmOnly, cordonedByUs }) =>
    // Our cordon already records that the node is unfinished.
    kubeadmOnly ? [{ [unfinished]: cordonedByUs ? null : new Date().toISOString() }, undefined] : undefined,
  );
}

/**
 * Uncordons the node if this rollout cordoned it, and leaves it in progress: its drain failed after kubeadm's
 * step.
 * Idempotent.
 *
 * @throws UpgradeError when the node has left the cluster.
 */
export async function serveOn(ports: AnnotationPorts, name: string): Promise<void> {
  const { cordoned } = keysOf(ports);
  await changeNode(ports, name, ({ cordonedByUs }) =>
    cordonedByUs ? [{ [cordoned]: null }, false] : undefined,
  );
}

/** Removes the annotation `unfinished` from a node that did not have to be drained. Idempotent. */
export const clearUnfinished = (ports: AnnotationPorts, name: string): Promise<void> =>
  ports.writer.patchNode(name, { [keysOf(ports).unfinished]: null });

/** Removes the soak annotation after the soak. Idempotent, also for a node that has left. */
export const clearSoak = (ports: AnnotationPorts, node: ClusterNode): Promise<void> =>
  clearAnnotation(ports, [node], keysOf(ports).soaking);

/** Removes every soak annotation, at the end of a rollout. Idempotent. */
export async function clearSoaks(ports: AnnotationPorts): Promise<void> {
  const soaking = (await ports.cluster.nodes()).filter((node) => node.soakingSince !== undefined);
  await clearAnnotation(ports, soaking, keysOf(ports).soaking);
}

/**
 * Removes every annotation `changed`, and what rollouts before left, once no rollout is in flight.
 * Idempotent. One that is left does no harm, because it is older than the next rollout.
 */
export async function clearChanged(ports: AnnotationPorts): Promise<void> {
  const { changed, daemonSets } = keysOf(ports);
  for (const node of await ports.cluster.nodes()) {
    if (node.changedAt !== undefined) await clearAnnotation(ports, [node], changed, daemonSets);
    else if (node.stale.length > 0) await clearAnnotation(ports, [node]);
  }
}

async function clearAnnotation(
  { writer }: AnnotationPorts,
  nodes: readonly ClusterNode[],
  ...keys: string[]
): Promise<void> {
  const none = Object.fromEntries(keys.map((key) => [key, null]));
  for (const node of nodes) {
    await writer.patchNode(node.name, overStale(node, none)).catch((error) => {
      if (!isNotFound(error)) throw error;
    });
  }
}

/**
 * Removes all annotations of rollouts from the nodes. Idempotent. Cordons stay: a person decides whether a
 * node is fit to run pods.
 *
 * @param onCleared called for each node that had an annotation.
 */
export async function clearNodeAnnotations(
  ports: Omit<AnnotationPorts, 'journal'>,
  onCleared: (node: ClusterNode) => void,
): Promise<void> {
  const { cordoned, changed, daemonSets, unfinished, soaking } = keysOf(ports);
  const keys = [cordoned, changed, daemonSets, unfinished, soaking];
  const none = Object.fromEntries(keys.map((key) => [key, null]));
  for (const node of await ports.cluster.nodes()) {
    const isAnnotated = isInProgress(node) || node.stale.length > 0;
    if (!isAnnotated && node.changedAt === undefined && node.soakingSince === undefined) continue;
    await ports.writer.patchNode(node.name, none);
    onCleared(node);
  }
}
