import type { KubernetesClient } from '../cluster/client.ts';
import { timeOf } from '../cluster/nodes.ts';
import type { ClusterWriter } from '../cluster/writer.ts';
import { annotationKeys } from '../names.ts';
import { isRelease, type Release, type UpgradeKind } from '../release.ts';

/** What the namespace's annotations say about an unfinished rollout. */
export interface InFlight {
  /** RFC 3339, exactly as annotated; the rollout's identity. */
  readonly started: string;
  /** Epoch milliseconds. */
  readonly startedAt: number;
  readonly target: Release | undefined;
  readonly kind: UpgradeKind | undefined;
  readonly snapshotPath: string | undefined;
}

/** What the namespace says of rollouts. */
export interface RolloutNotes {
  /** `resourceVersion` of the namespace, by which a change after this reading is noticed. */
  readonly version: string | undefined;
  readonly inFlight: InFlight | undefined;
  /** `X.Y.Z RFC3339 PROCESS` of the last dispatch that no run has acknowledged. */
  readonly dispatched: string | undefined;
}

export async function readNotes(
  client: KubernetesClient,
  namespace: string,
  prefix: string,
): Promise<RolloutNotes> {
  const { metadata } = await client.call(`read namespace ${namespace}`, () =>
    client.core.readNamespace({ name: namespace }),
  );
  const annotations = metadata?.annotations ?? {};
  return {
    version: metadata?.resourceVersion,
    inFlight: inFlightOf(annotations, prefix),
    dispatched: annotations[annotationKeys(prefix).dispatched],
  };
}

/** The rollout's memory: annotations on the namespace, and nothing else. */
export interface Journal {
  /** Undefined when no rollout is unfinished. */
  read(): Promise<InFlight | undefined>;
  /**
   * Marks a rollout as in flight. One that is already marked for this target keeps its start and its snapshot.
   *
   * @param halfWay the one that is marked has begun to change the cluster: wherever it goes on to, it keeps them, too. The way
   *   back leads to before its first change, and what it began stays its own.
   */
  begin(target: Release, kind: UpgradeKind, halfWay: boolean): Promise<InFlight>;
  /** Of the rollout in flight; without one there is nobody to need it. */
  recordSnapshot(path: string): Promise<void>;
  /** A run has begun: what detection dispatched has arrived. */
  acknowledge(): Promise<void>;
  /** The rollout is over: nothing of it stays. */
  clear(): Promise<void>;
}

export function namespaceJournal(
  client: KubernetesClient,
  writer: ClusterWriter,
  namespace: string,
  prefix: string,
): Journal {
  const keys = annotationKeys(prefix);
  const read = async () => (await readNotes(client, namespace, prefix)).inFlight;
  return {
    read,
    async begin(target, kind, halfWay) {
      const current = await read();
      if (current?.target === target && current.kind === kind) return current;
      if (current !== undefined && halfWay) {
        await writer.patchNamespace({ [keys.target]: target, [keys.kind]: kind });
        return { ...current, target, kind };
      }
      const now = new Date();
      const started = now.toISOString();
      await writer.patchNamespace({
        [keys.inFlight]: started,
        [keys.target]: target,
        [keys.kind]: kind,
        [keys.snapshotPath]: null,
      });
      return { started, startedAt: now.getTime(), target, kind, snapshotPath: undefined };
    },
    async recordSnapshot(path) {
      if ((await read()) !== undefined) await writer.patchNamespace({ [keys.snapshotPath]: path });
    },
    acknowledge: () => writer.patchNamespace({ [keys.dispatched]: null }),
    clear: () =>
      writer.patchNamespace({
        [keys.inFlight]: null,
        [keys.target]: null,
        [keys.kind]: null,
        [keys.snapshotPath]: null,
        [keys.dispatched]: null,
      }),
  };
}

/** @param annotations of the namespace. */
export function inFlightOf(
  annotations: Readonly<Record<string, string>>,
  prefix: string,
): InFlight | undefined {
  const keys = annotationKeys(prefix);
  const started = annotations[keys.inFlight];
  if (started === undefined) return undefined;
  const target = annotations[keys.target];
  const kind = annotations[keys.kind];
  return {
    started,
    startedAt: timeOf(started) ?? 0,
    target: target !== undefined && isRelease(target) ? target : undefined,
    kind: kind === 'patch' || kind === 'minor' ? kind : undefined,
    snapshotPath: annotations[keys.snapshotPath],
  };
}
