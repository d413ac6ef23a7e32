import type { ClusterNode } from '../cluster/nodes.ts';
import type { ClusterWriter } from '../cluster/writer.ts';
import type { DrainResult } from '../drain/drain.ts';
import { checkGates, type Gate, type GatePorts, type Verdict } from '../gates/gate.ts';
import type { StartNextJob } from '../jobs/next-job.ts';
import type { NodeCheck } from '../jobs/node-check.ts';
import type { Report } from '../report/events.ts';
import type { Journal } from '../rollout/journal.ts';
import { annotationsReader } from '../rollout/node-annotations.ts';
import { remaining } from '../rollout/remaining.ts';
import type { UpgradeRequest } from '../rollout/request.ts';
import type { StageRow } from '../rollout/stages.ts';
import type { Snapshots } from '../ssh/snapshots.ts';

/** Empties a node. Calls `cordon` at the start and again whenever somebody uncordons the node. */
export type Drainer = (
  node: ClusterNode,
  cordon: () => Promise<'cordoned' | 'already'>,
  onNotice: (notice: string) => void,
) => Promise<DrainResult>;

/**
 * Everything a stage works with. Each port that writes has a real implementation and one for a dry-run, so a
 * stage does not need to know which it has.
 */
export interface Context extends GatePorts {
  /** What to upgrade to, and with which stages. */
  readonly request: UpgradeRequest;
  /** Patches nodes and the namespace, evicts and deletes pods, creates Jobs and Events. */
  readonly writer: ClusterWriter;
  /** The in-flight annotations of the namespace. */
  readonly journal: Journal;
  /** Snapshots of etcd. */
  readonly snapshots: Snapshots;
  /** Drains a node. */
  readonly drain: Drainer;
  /** Tries whether pods work on a node. */
  readonly nodeCheck: NodeCheck;
  /** Submits the next Job of the run. */
  readonly startNextJob: StartNextJob;
  /** Sends events to the log, Slack, metrics and Events. */
  readonly report: Report;
  /** The node that this process runs on; undefined outside the cluster. It is never drained (F1). */
  readonly ownNode: string | undefined;
  /** Aborts every wait. */
  readonly signal: AbortSignal;
  /**
   * Does for a node that joined after this process started what earlier stages did for the others (F26). Does
   * nothing for other nodes. Set while stages run.
   *
   * @throws BlockedError when the node cannot be drained or does not fit the minor.
   */
  readonly catchUp?: (node: ClusterNode) => Promise<void>;
}

/** How a stage ends: `handed-off` means that the next Job continues from here. */
export type StageEnd = 'done' | 'handed-off';

/** What a stage does. Its row in `rollout/stages.ts` has its name and summary. */
export interface StageWork {
  /** Why the stage has nothing to do in this cluster; undefined when it has. Changes nothing. */
  skipReason(ctx: Context): Promise<string | undefined>;
  /** Picks up where the cluster is; may be run any number of times. */
  run(ctx: Context): Promise<StageEnd>;
  /** Catches up on a node that joined after this stage ran, before its drain. Idempotent. @default nothing */
  catchUp?(ctx: Context, node: ClusterNode): Promise<void>;
}

/** A stage: its row and its work. */
export type Stage = StageRow & StageWork;

/** Reads the cluster once and checks the gates against that state. */
export async function verdictsOf(ctx: Context, gates: readonly Gate[]): Promise<Verdict[]> {
  const inFlight = await ctx.journal.read();
  const [nodes, server] = await Promise.all([
    ctx.cluster.nodes(annotationsReader(ctx.settings.annotationPrefix, inFlight)),
    ctx.cluster.serverRelease(),
  ]);
  const { target, dryRun } = ctx.request;
  const cluster = { ...ctx.cluster, serverRelease: async () => server };
  const left = onlyOnce(() => remaining(cluster, target, nodes));
  return checkGates(gates, { ...ctx, nodes, server, inFlight, target, dryRun, remaining: left });
}

/** Reads at the first call and returns the same answer to every later one. */
function onlyOnce<T>(read: () => Promise<T>): () => Promise<T> {
  let answer: Promise<T> | undefined;
  return () => {
    answer ??= read();
    return answer;
  };
}
