import type { ClusterNode } from '../cluster/nodes.ts';
import type { ClusterWriter } from '../cluster/writer.ts';
import type { DrainResult } from '../drain/drain.ts';
import { checkGates, type Gate, type GatePorts, type Verdict } from '../gates/gate.ts';
import type { StartNextJob } from '../jobs/next-job.ts';
import type { Report } from '../report/events.ts';
import type { Journal } from '../rollout/journal.ts';
import { remaining } from '../rollout/remaining.ts';
import type { UpgradeRequest } from '../rollout/request.ts';
import type { StageRow } from '../rollout/stages.ts';
import type { Snapshots } from '../ssh/snapshots.ts';

/** Empties a node; the cordon is asked for again whenever somebody lifts it. */
export type Drainer = (
  node: ClusterNode,
  cordon: () => Promise<'cordoned' | 'already'>,
  onNotice: (notice: string) => void,
) => Promise<DrainResult>;

/**
 * Everything a stage works with. Whatever writes has two implementations, the real one and the one of a dry-run,
 * so no stage asks which it is.
 */
export interface Context extends GatePorts {
  readonly request: UpgradeRequest;
  readonly writer: ClusterWriter;
  readonly journal: Journal;
  readonly snapshots: Snapshots;
  readonly drain: Drainer;
  readonly startNextJob: StartNextJob;
  readonly report: Report;
  /** The node that this process runs on; undefined outside the cluster. It is never drained (F1). */
  readonly ownNode: string | undefined;
  readonly signal: AbortSignal;
  /**
   * Brings a node that joined after this process began to where the earlier stages brought the others (F26); does nothing for those. Set
   * once the stages are walked.
   *
   * @throws BlockedError when it cannot be drained, or the minor does not fit it.
   */
  readonly catchUp?: (node: ClusterNode) => Promise<void>;
}

/** What a stage ends with: `handed-off` means that another process continues from here. */
export type StageEnd = 'done' | 'handed-off';

/** What a stage does; its row in `rollout/stages.ts` says what it is. */
export interface StageWork {
  /** Why there is nothing to do, asked of the cluster; undefined when there is. */
  skipReason(ctx: Context): Promise<string | undefined>;
  /** Picks up wherever the cluster is; may be run any number of times. */
  run(ctx: Context): Promise<StageEnd>;
  /** What it does for a node that has joined since it ran, before that node is drained; nothing without it. May be called again. */
  catchUp?(ctx: Context, node: ClusterNode): Promise<void>;
}

export type Stage = StageRow & StageWork;

/** Reads the cluster once and asks the gates about that moment. */
export async function askGates(ctx: Context, gates: readonly Gate[]): Promise<Verdict[]> {
  const [nodes, server, inFlight] = await Promise.all([
    ctx.cluster.nodes(),
    ctx.cluster.serverRelease(),
    ctx.journal.read(),
  ]);
  const { target } = ctx.request;
  const cluster = { ...ctx.cluster, serverRelease: async () => server };
  const left = onlyOnce(() => remaining(cluster, target, nodes));
  return checkGates(gates, { ...ctx, nodes, server, inFlight, target, remaining: left });
}

/** Asks at the first call, and gives every further one the same answer. */
function onlyOnce<T>(ask: () => Promise<T>): () => Promise<T> {
  let answer: Promise<T> | undefined;
  return () => {
    answer ??= ask();
    return answer;
  };
}
