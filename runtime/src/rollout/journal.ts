import type { KubernetesClient } from '../cluster/client.ts';
import { timeOf } from '../cluster/nodes.ts';
import type { ClusterWriter } from '../cluster/writer.ts';
import { annotationKeys } from '../names.ts';
import { isRelease, type Release, type UpgradeKind } from '../release.ts';

/** An unfinished rollout, as recorded in the namespace's annotations. */
export interface InFlight {
  /** When it started: RFC 3339, exactly as annotated. Identifies the rollout. */
  readonly started: string;
  /** The same in epoch milliseconds; 0 when the annotation is unreadable. */
  readonly startedAt: number;
  /** Undefined when missing or not `X.Y.Z`. */
  readonly target: Release | undefined;
  /** Undefined when missing or neither `patch` nor `minor`. */
  readonly kind: UpgradeKind | undefined;
  /** Path of the verified etcd snapshot; undefined while there is none. */
  readonly snapshotPath: string | undefined;
  /** Workloads with a pod that was not Ready at the start; undefined without a record, or with too many. */
  readonly unready?: ReadonlySet<string> | undefined;
  /** kube-proxy and CoreDNS at the start, as `addOnsIn` writes them; undefined without a record. */
  readonly addOns?: string | undefined;
}

/** The cluster before a rollout, to compare with. */
export interface AtStart {
  /** Workloads with a pod that is not Ready. */
  readonly unready: readonly string[];
  /** kube-proxy and CoreDNS, as `addOnsIn` writes them; undefined where they could not be read. */
  readonly addOns: string | undefined;
}

/** What the namespace's annotations say about rollouts. */
export interface RolloutNotes {
  /** `resourceVersion` of the namespace; makes a later write fail if somebody else wrote first. */
  readonly version: string | undefined;
  /** The unfinished rollout, if any. */
  readonly inFlight: InFlight | undefined;
  /** `X.Y.Z RFC3339 PROCESS` of the last dispatch that no run has acknowledged. */
  readonly dispatched: string | undefined;
}

/** Reads the annotations of the namespace. @throws ApiError, such as 404 for a missing namespace. */
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

/** What a rollout remembers between processes. All of it is in the namespace's annotations. */
export interface Journal {
  /** Undefined when no rollout is unfinished. */
  read(): Promise<InFlight | undefined>;
  /**
   * Sets the in-flight annotations. A rollout in flight to the same target keeps its start and its snapshot.
   *
   * @param clusterChanged whether the rollout in flight has already cordoned or changed nodes. It then keeps
   *   both for another target, too: the snapshot must be older than its first change, and its nodes stay
   *   recognizable.
   * @param atStart what is recorded of the cluster; kept as long as the start. @default nothing to compare
   */
  begin(target: Release, kind: UpgradeKind, clusterChanged: boolean, atStart?: AtStart): Promise<InFlight>;
  /** Records the etcd snapshot of the rollout in flight; does nothing when none is. */
  recordSnapshot(path: string): Promise<void>;
  /** Clears the dispatch annotation, because a run has started. Idempotent. */
  acknowledge(): Promise<void>;
  /** Removes all annotations of the rollout, because it is over. Idempotent. */
  clear(): Promise<void>;
}

/** The journal of the rollouts in this namespace. @param prefix of the annotations. */
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
    async begin(target, kind, clusterChanged, { unready, addOns } = { unready: [], addOns: undefined }) {
      const current = await read();
      if (current?.target === target && current.kind === kind) return current;
      if (current !== undefined && clusterChanged) {
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
        [keys.unready]: writtenUnready(unready),
        [keys.addOns]: addOns ?? null,
      });
      const recorded = readUnready(writtenUnready(unready));
      return {
        started,
        startedAt: now.getTime(),
        target,
        kind,
        snapshotPath: undefined,
        unready: recorded,
        addOns,
      };
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
        [keys.unready]: null,
        [keys.addOns]: null,
        [keys.dispatched]: null,
      }),
  };
}

/** All annotations of an object share 256 KiB, and a name has up to 500 characters. */
const mostUnready = 100;

/** The workloads, or how many there are when there are too many. */
function writtenUnready(unready: readonly string[]): string {
  const names = [...new Set(unready)];
  return names.length > mostUnready ? String(names.length) : names.join(' ');
}

const readUnready = (text: string | undefined): ReadonlySet<string> | undefined =>
  text === undefined || /^\d+$/.test(text) ? undefined : new Set(text.split(' ').filter(Boolean));

/** Parses the annotations of the namespace; undefined when no rollout is in flight. */
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
    unready: readUnready(annotations[keys.unready]),
    addOns: annotations[keys.addOns],
  };
}
