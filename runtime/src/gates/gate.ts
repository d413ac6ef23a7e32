import type { KubernetesClient } from '../cluster/client.ts';
import type { ClusterNode } from '../cluster/nodes.ts';
import type { Observable } from '../cluster/observation.ts';
import type { ClusterReader } from '../cluster/reader.ts';
import { UpgradeError } from '../errors.ts';
import type { AlertSource } from '../prometheus/alerts.ts';
import type { MetricsSource } from '../prometheus/metrics.ts';
import type { Release } from '../release.ts';
import type { ReleaseSource } from '../releases/repository.ts';
import type { InFlight } from '../rollout/journal.ts';
import type { KillSwitch } from '../rollout/kill-switch.ts';
import type { Remaining } from '../rollout/remaining.ts';
import type { Settings } from '../settings/settings.ts';
import type { NodeShell } from '../ssh/node-shell.ts';

/** What a gate may read from. */
export interface GatePorts {
  /** The settings of the run. */
  readonly settings: Settings;
  /** Nodes, pods and budgets, read from the API. */
  readonly cluster: ClusterReader;
  /** The API, for evictions with `dryRun=All`. */
  readonly client: KubernetesClient;
  /** The ConfigMap that halts upgrades. */
  readonly killSwitch: KillSwitch;
  /** Commands on the nodes, over SSH. */
  readonly shell: NodeShell;
  /** Firing alerts, from Prometheus. */
  readonly alerts: AlertSource;
  /** Queries to Prometheus. */
  readonly metrics: MetricsSource;
  /** The package repository of Kubernetes. */
  readonly repository: ReleaseSource;
}

/** What gates check. Read once for all gates of one check, so that they judge the same moment. */
export interface GateContext extends GatePorts {
  /** The release to upgrade to. */
  readonly target: Release;
  /** The release of the API server that answers. */
  readonly server: Release;
  /** Whether nothing is changed: what a rollout would have changed is as it was. */
  readonly dryRun: boolean;
  /** Every node of the cluster that can be read. */
  readonly nodes: readonly ClusterNode[];
  /** The unfinished rollout that this run resumes; undefined when there is none. */
  readonly inFlight: InFlight | undefined;
  /** What is left to do until the cluster is at the target. Read at the first call, the same after that. */
  readonly remaining: () => Promise<Remaining>;
}

/** What a gate has found. */
export interface Findings {
  /** Why the gate is closed. Empty: it is open. */
  readonly reasons: readonly string[];
  /** Worth knowing, but no reason to stop. @default none */
  readonly notes?: readonly string[];
  /**
   * Set when only time is missing until the gate knows better: at the latest when, epoch milliseconds. Is
   * waited for also in a soak. @default what is wrong must end
   */
  readonly opensAt?: number | undefined;
  /** Why there was nothing to check; the gate is open then. @default it was checked */
  readonly notAsked?: string;
}

/** A condition that must hold before the cluster is changed. */
export interface Gate {
  /** Printed, and the prefix of each of its reasons. */
  readonly name: string;
  /** What holds while the gate is open; `k8s-upgrade plan` prints it. */
  readonly summary: string;
  /** `held`: only time opens it. `blocked`: somebody can act (F15). */
  readonly outcomeWhenClosed: 'held' | 'blocked';
  /** Whether waiting can open it. If not, it stops a running rollout at once. @default false */
  readonly opensByWaiting?: boolean;
  /** What can open it and can be observed; the rest is asked again at intervals. @default nothing */
  readonly observes?: readonly Observable[];
  /** Changes nothing; may be called any number of times. @throws when the answer is unknown. */
  check(ctx: GateContext): Promise<Findings>;
}

/** The answer of one gate. */
export interface Verdict extends Findings {
  /** Its name. */
  readonly gate: string;
  /** Its summary. */
  readonly summary: string;
  /** No reason was found, or there was nothing to check. */
  readonly open: boolean;
  /** Closed because the answer is unknown. */
  readonly unknown: boolean;
  /** Why the answer is unknown, when a setting may point at the wrong server. It may also be temporary. */
  readonly badInput?: UpgradeError;
  /** As the gate defines it; `blocked` when the answer is unknown, `held` when only time is missing. */
  readonly outcomeWhenClosed: Gate['outcomeWhenClosed'];
  /** As the gate defines it. */
  readonly opensByWaiting: boolean;
  /** Empty when there are none. */
  readonly notes: readonly string[];
}

/** Checks every gate and collects every reason. A gate whose answer is unknown counts as closed (F31). */
export async function checkGates(gates: readonly Gate[], ctx: GateContext): Promise<Verdict[]> {
  return Promise.all(gates.map((gate) => checkGate(gate, ctx)));
}

async function checkGate(gate: Gate, ctx: GateContext): Promise<Verdict> {
  const { name, summary, outcomeWhenClosed, opensByWaiting = false } = gate;
  const common = { gate: name, summary, outcomeWhenClosed, opensByWaiting };
  try {
    const { reasons, notes = [], notAsked, opensAt } = await gate.check(ctx);
    const open = reasons.length === 0;
    const verdict = {
      ...common,
      ...(opensAt !== undefined && { outcomeWhenClosed: 'held' as const }),
      open,
      unknown: false,
      reasons,
      notes,
      opensAt,
    };
    return notAsked === undefined ? verdict : { ...verdict, notAsked };
  } catch (error) {
    ctx.client.options.signal.throwIfAborted();
    const why = error instanceof Error ? error.message : String(error);
    const reasons = [`unknown, so closed: ${why}`];
    const verdict = {
      ...common,
      outcomeWhenClosed: 'blocked',
      open: false,
      unknown: true,
      reasons,
      notes: [],
    } as const;
    return error instanceof UpgradeError && error.code === 'badInput'
      ? { ...verdict, badInput: error }
      : verdict;
  }
}
