/**
 * What a rollout notes on the nodes: which of them it has cordoned, changed, not finished, and lets soak. Nothing else reads or
 * writes these annotations.
 */

import { isConflict, isNotFound } from '../cluster/api-error.ts';
import { type ClusterNode, type NodeMarks, type ReadMarks, timeOf } from '../cluster/nodes.ts';
import type { ClusterReader } from '../cluster/reader.ts';
import type { ClusterWriter } from '../cluster/writer.ts';
import { UpgradeError } from '../errors.ts';
import { annotationKeys } from '../names.ts';
import type { Settings } from '../settings/settings.ts';
import type { InFlight, Journal } from './journal.ts';

/** What it takes to write a mark; a stage's context has it. */
export interface MarkPorts {
  readonly cluster: Pick<ClusterReader, 'nodes'>;
  readonly writer: Pick<ClusterWriter, 'patchNode'>;
  readonly journal: Pick<Journal, 'read'>;
  readonly settings: Pick<Settings, 'annotationPrefix'>;
}

/** @param prefix of the annotations, `annotationPrefix` of the settings. */
export function marksReader(prefix: string): ReadMarks {
  const keys = annotationKeys(prefix);
  return (annotations): NodeMarks => ({
    cordonedByUs: keys.cordoned in annotations,
    changedAt: timeOf(annotations[keys.changed]),
    unfinished: keys.unfinished in annotations,
    soakingSince: timeOf(annotations[keys.soaking]),
  });
}

/** A node counts as changed when this rollout, not an earlier one, began to change it. */
export const isChanged = (node: NodeMarks, inFlight: InFlight | undefined): boolean =>
  inFlight !== undefined && node.changedAt !== undefined && node.changedAt >= inFlight.startedAt;

/** Somebody was interrupted on this node: our cordon is on it, or the mark that stands for one: a person's is there, or it is not drained. */
export const isInProgress = (node: NodeMarks): boolean => node.cordonedByUs || node.unfinished;

/** This rollout is in the middle of this node: what is not well on it, finishing it cures (F5). */
export const isInProgressOf = (node: NodeMarks, inFlight: InFlight | undefined): boolean =>
  isChanged(node, inFlight) && isInProgress(node);

const keysOf = ({ settings }: Pick<MarkPorts, 'settings'>) => annotationKeys(settings.annotationPrefix);

/**
 * Cordons the node and notes that the cordon is ours. Idempotent: one that is cordoned already, by whomever, stays as it is.
 *
 * @throws UpgradeError when the node has left.
 */
export async function cordon(ports: MarkPorts, name: string): Promise<'cordoned' | 'already'> {
  const keys = keysOf(ports);
  const startedAt = (await ports.journal.read())?.started ?? new Date().toISOString();
  let end: 'cordoned' | 'already' = 'already';
  await changeNode(ports, name, ({ unschedulable }) => {
    end = unschedulable ? 'already' : 'cordoned';
    return unschedulable ? undefined : [{ [keys.cordoned]: startedAt }, true];
  });
  return end;
}

/**
 * Uncordons the node if a rollout cordoned it, never another cordon (F11), and records in the same patch that it is finished and whether
 * its soak is due. Idempotent, but for the soak, which begins anew.
 *
 * @throws UpgradeError when the node has left.
 */
export async function readmit(ports: MarkPorts, name: string, soak: boolean): Promise<void> {
  const keys = keysOf(ports);
  const soaking = soak ? new Date().toISOString() : null;
  await changeNode(ports, name, ({ cordonedByUs, unfinished }) => {
    const annotations = {
      [keys.cordoned]: null,
      [keys.soaking]: soaking,
      ...(unfinished && { [keys.unfinished]: null }),
    };
    return [annotations, cordonedByUs ? false : undefined];
  });
}

type Change = [annotations: Readonly<Record<string, string | null>>, unschedulable: boolean | undefined];

/**
 * Writes what follows from how the node is, and over nothing else: a cordon that a person makes in between is not taken for ours.
 *
 * @param decide undefined when nothing is to be written.
 */
async function changeNode(
  ports: MarkPorts,
  name: string,
  decide: (node: ClusterNode) => Change | undefined,
): Promise<void> {
  for (;;) {
    const node = await findNode(ports, name);
    const change = decide(node);
    if (change === undefined) return;
    try {
      return await ports.writer.patchNode(name, ...change, node.version);
    } catch (error) {
      if (!isConflict(error)) throw error;
    }
  }
}

/** @throws UpgradeError when it has left the cluster. */
export async function findNode({ cluster }: Pick<MarkPorts, 'cluster'>, name: string): Promise<ClusterNode> {
  const node = (await cluster.nodes()).find((one) => one.name === name);
  if (node === undefined)
    throw new UpgradeError('failed', `node ${name} has left the cluster in the middle of its upgrade`);
  return node;
}

/**
 * Records on the node when this rollout first changed it, and that it is not finished there. May be called twice.
 *
 * @param needsMark where no cordon of ours says that it is not finished.
 * @throws UpgradeError when the node has left.
 */
export async function markChanged(
  ports: MarkPorts,
  name: string,
  needsMark: (node: ClusterNode) => boolean,
): Promise<void> {
  const node = await findNode(ports, name);
  const changed = isChanged(node, await ports.journal.read());
  if (changed && isInProgress(node)) return;
  const keys = keysOf(ports);
  const now = new Date().toISOString();
  await ports.writer.patchNode(name, {
    ...(!changed && { [keys.changed]: now }),
    // Our cordon says it as well.
    ...(!isInProgress(node) && needsMark(node) && { [keys.unfinished]: now }),
  });
}

/** Takes the mark `unfinished` away again, of a node that is not drained. Idempotent. */
export const clearUnfinished = (ports: MarkPorts, name: string): Promise<void> =>
  ports.writer.patchNode(name, { [keysOf(ports).unfinished]: null });

/** Its soak was seen through. Idempotent; a node that has left took the mark along. */
export const clearSoak = (ports: MarkPorts, node: ClusterNode): Promise<void> =>
  clearMark(ports, [node], keysOf(ports).soaking);

/** At the end of a rollout no node soaks any more. Idempotent. */
export async function clearSoaks(ports: MarkPorts): Promise<void> {
  const soaking = (await ports.cluster.nodes()).filter((node) => node.soakingSince !== undefined);
  await clearMark(ports, soaking, keysOf(ports).soaking);
}

/** Once no rollout is in flight. One that is left says nothing: it is older than the next rollout. Idempotent. */
export async function clearChanged(ports: MarkPorts): Promise<void> {
  const changed = (await ports.cluster.nodes()).filter((node) => node.changedAt !== undefined);
  await clearMark(ports, changed, keysOf(ports).changed);
}

async function clearMark({ writer }: MarkPorts, nodes: readonly ClusterNode[], key: string): Promise<void> {
  for (const { name } of nodes) {
    await writer.patchNode(name, { [key]: null }).catch((error) => {
      if (!isNotFound(error)) throw error;
    });
  }
}

/**
 * Forgets everything that rollouts have noted on the nodes. Cordons stay: whether a node is fit to take pods is for a person to say.
 *
 * @param onCleared told each node that had a mark.
 */
export async function clearMarks(
  ports: Omit<MarkPorts, 'journal'>,
  onCleared: (node: ClusterNode) => void,
): Promise<void> {
  const { cordoned, changed, unfinished, soaking } = keysOf(ports);
  const none = Object.fromEntries([cordoned, changed, unfinished, soaking].map((key) => [key, null]));
  for (const node of await ports.cluster.nodes()) {
    if (!isInProgress(node) && node.changedAt === undefined && node.soakingSince === undefined) continue;
    await ports.writer.patchNode(node.name, none);
    onCleared(node);
  }
}
