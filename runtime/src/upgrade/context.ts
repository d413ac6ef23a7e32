import type { KubernetesClient } from '../cluster/client.ts';
import type { ClusterNode } from '../cluster/nodes.ts';
import type { ClusterReader } from '../cluster/reader.ts';
import type { ClusterWriter } from '../cluster/writer.ts';
import type { DrainResult } from '../drain/drain.ts';
import { checkGates, type Gate, type GateContext, type ReleaseSource, type Verdict } from '../gates/gate.ts';
import type { Legs } from '../jobs/next-job.ts';
import type { AlertSource } from '../prometheus/alerts.ts';
import type { MetricsSource } from '../prometheus/metrics.ts';
import type { Report } from '../report/events.ts';
import type { Journal } from '../rollout/journal.ts';
import type { UpgradeRequest } from '../rollout/request.ts';
import type { Settings } from '../settings/settings.ts';
import type { NodeShell } from '../ssh/node-shell.ts';
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
export interface Context {
  readonly settings: Settings;
  readonly request: UpgradeRequest;
  readonly client: KubernetesClient;
  readonly cluster: ClusterReader;
  readonly writer: ClusterWriter;
  readonly journal: Journal;
  readonly shell: NodeShell;
  readonly snapshots: Snapshots;
  readonly drain: Drainer;
  readonly alerts: AlertSource;
  readonly metrics: MetricsSource;
  readonly repository: ReleaseSource;
  readonly legs: Legs;
  readonly report: Report;
  /** The node that this process runs on; undefined outside the cluster. It is never drained (F1). */
  readonly ownNode: string | undefined;
  readonly signal: AbortSignal;
  /** The nodes that were there when this process began, by name: the stages before the drains have seen to these. */
  readonly known?: ReadonlySet<string>;
}

/** What a stage ends with: `handed-off` means that another process goes on from here. */
export type StageEnd = 'done' | 'handed-off';

export interface Stage {
  /** Why there is nothing to do, asked of the cluster; undefined when there is. */
  idle(ctx: Context): Promise<string | undefined>;
  /** Picks up wherever the cluster is; may be run any number of times. */
  run(ctx: Context): Promise<StageEnd>;
}

/** Reads the cluster once and asks the gates about that moment. */
export async function askGates(ctx: Context, gates: readonly Gate[]): Promise<Verdict[]> {
  const [nodes, server, inFlight] = await Promise.all([
    ctx.cluster.nodes(),
    ctx.cluster.serverRelease(),
    ctx.journal.read(),
  ]);
  const { settings, cluster, client, shell, alerts, metrics, repository, request } = ctx;
  const gateContext: GateContext = {
    settings,
    cluster,
    client,
    shell,
    alerts,
    metrics,
    repository,
    nodes,
    server,
    inFlight,
    target: request.target,
  };
  return checkGates(gates, gateContext);
}
