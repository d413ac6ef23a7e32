import type { KubernetesClient } from '../cluster/client.ts';
import type { ClusterNode } from '../cluster/nodes.ts';
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

/** Whom a gate may ask. */
export interface GatePorts {
  readonly settings: Settings;
  readonly cluster: ClusterReader;
  readonly client: KubernetesClient;
  readonly killSwitch: KillSwitch;
  readonly shell: NodeShell;
  readonly alerts: AlertSource;
  readonly metrics: MetricsSource;
  readonly repository: ReleaseSource;
}

/** What gates are asked about. Read once for all gates of one check, so that they judge the same moment. */
export interface GateContext extends GatePorts {
  readonly target: Release;
  readonly server: Release;
  readonly nodes: readonly ClusterNode[];
  /** The unfinished rollout that this run resumes. */
  readonly inFlight: InFlight | undefined;
  /** What is left to do until the cluster is at the target; read once for all gates that ask. */
  readonly remaining: () => Promise<Remaining>;
}

export interface Findings {
  /** Why the gate is closed; none = open. */
  readonly reasons: readonly string[];
  /** Worth knowing and no reason to stop. */
  readonly notes?: readonly string[];
  /** Why the gate was not asked; it is open then. */
  readonly notAsked?: string;
}

export interface Gate {
  readonly name: string;
  readonly summary: string;
  /** `held`: only time opens it. `blocked`: somebody can act (F15). */
  readonly outcomeWhenClosed: 'held' | 'blocked';
  /** Waiting can open it; without this a rollout under way stops at once. */
  readonly opensByWaiting?: boolean;
  check(ctx: GateContext): Promise<Findings>;
}

export interface Verdict extends Findings {
  readonly gate: string;
  readonly open: boolean;
  /** Closed because it could not tell. */
  readonly unknown: boolean;
  /** Why it could not, where a setting points at the wrong thing; what is there may also be wrong for a moment only. */
  readonly badInput?: UpgradeError;
  readonly outcomeWhenClosed: Gate['outcomeWhenClosed'];
  readonly opensByWaiting: boolean;
  readonly notes: readonly string[];
}

/** Asks every gate and collects every reason. A gate that cannot tell is closed (F31). */
export async function checkGates(gates: readonly Gate[], ctx: GateContext): Promise<Verdict[]> {
  return Promise.all(gates.map((gate) => ask(gate, ctx)));
}

async function ask(gate: Gate, ctx: GateContext): Promise<Verdict> {
  const { name, outcomeWhenClosed, opensByWaiting = false } = gate;
  try {
    const { reasons, notes = [], notAsked } = await gate.check(ctx);
    const open = reasons.length === 0;
    const verdict = { gate: name, outcomeWhenClosed, opensByWaiting, open, unknown: false, reasons, notes };
    return notAsked === undefined ? verdict : { ...verdict, notAsked };
  } catch (error) {
    ctx.client.options.signal.throwIfAborted();
    const why = error instanceof Error ? error.message : String(error);
    const reasons = [`unknown, so closed: ${why}`];
    const verdict = {
      gate: name,
      outcomeWhenClosed: 'blocked',
      opensByWaiting,
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
