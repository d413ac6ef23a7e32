import { alertNames } from '../names.ts';
import type { Alert } from '../prometheus/alerts.ts';
import { kindOf, newest, oldest, type Release } from '../release.ts';
import { isChanged } from '../rollout/node-marks.ts';
import type { Gate, GateContext } from './gate.ts';

export const alertsGate: Gate = {
  name: 'alerts',
  summary: 'no alert of the gating groups is firing',
  outcomeWhenClosed: 'blocked',
  opensByWaiting: true,
  async check(ctx) {
    const own = ownEffects(ctx);
    const firing = await ctx.alerts.firing();
    const closing = firing.filter((alert) => isGating(alert, own));
    const ignored = firing.filter((alert) => !closing.includes(alert));
    return {
      reasons: closing.map(describeAlert),
      notes: ignored.map((a) => `${describeAlert(a)}: this rollout's own mark`),
    };
  },
};

/** What the run itself has done to the cluster, so that its marks do not close its own gates (F8). */
export interface OwnEffects {
  readonly inFlight: boolean;
  readonly snapshotTaken: boolean;
  /** The cluster stands between two releases, and finishing this run ends that. */
  readonly skewEnds: boolean;
  /** Names and addresses of the nodes that this rollout has changed. */
  readonly changed: ReadonlySet<string>;
}

type OwnContext = Pick<GateContext, 'nodes' | 'server' | 'target' | 'inFlight'>;

export function ownEffects({ nodes, server, target, inFlight }: OwnContext): OwnEffects {
  const changed = nodes
    .filter((node) => isChanged(node, inFlight))
    .flatMap((node) => [node.name, node.address]);
  return {
    inFlight: inFlight !== undefined,
    snapshotTaken: inFlight?.snapshotPath !== undefined,
    skewEnds: isOnWay([server, ...nodes.map((node) => node.release)], target),
    changed: new Set(changed),
  };
}

/** More than one release, and every one of them on the way from the oldest to the target. */
function isOnWay(releases: readonly Release[], target: Release): boolean {
  const from = oldest(releases) ?? target;
  const until = newest([target, ...releases]);
  return new Set(releases).size > 1 && until === target && kindOf(from, target) !== undefined;
}

/** Whether a firing alert closes the gate: every one does, but for what the rollout causes by itself. */
export function isGating(alert: Alert, own: OwnEffects): boolean {
  switch (alert.name) {
    case alertNames.versionSkew:
      return !own.inFlight && !own.skewEnds;
    case alertNames.snapshotMissing:
      // Left by an interrupted run; this one has yet to take its snapshot (F7).
      return own.snapshotTaken;
    case alertNames.recentNodeReboot:
      return !namesChangedNode(alert.labels, own.changed);
    default:
      return true;
  }
}

/** Exporters name a node by `node`, or by `instance` with or without a port. */
function namesChangedNode(labels: Readonly<Record<string, string>>, changed: ReadonlySet<string>): boolean {
  const values = [labels.node, labels.instance, labels.instance?.replace(/:\d+$/, '')];
  return values.some((value) => value !== undefined && changed.has(value));
}

/** `RecentNodeReboot (node=k8s-node2)` */
export function describeAlert(alert: Alert): string {
  const labels = Object.entries(alert.labels).filter(([key]) => key !== 'alertname' && key !== 'severity');
  return `alert ${alert.name} is firing${labels.length > 0 ? ` (${labels.map(([k, v]) => `${k}=${v}`).join(', ')})` : ''}`;
}
