import { alertNames } from '../names.ts';
import type { Alert } from '../prometheus/alerts.ts';
import { kindOf, newest, oldest, type Release } from '../release.ts';
import { isTouched } from '../rollout/node-marks.ts';
import type { Gate, GateContext } from './gate.ts';

export const alertGate: Gate = {
  name: 'alerts',
  summary: 'no alert of the gating groups is firing',
  closes: 'blocked',
  opensByWaiting: true,
  async check(ctx) {
    const own = ownMarks(ctx);
    const firing = await ctx.alerts.firing();
    const closing = firing.filter((alert) => closesGate(alert, own));
    const ignored = firing.filter((alert) => !closing.includes(alert));
    return {
      reasons: closing.map(describeAlert),
      notes: ignored.map((a) => `${describeAlert(a)}: this rollout's own mark`),
    };
  },
};

/** What the run itself has done to the cluster, so that its marks do not close its own gates (F8). */
export interface OwnMarks {
  readonly inFlight: boolean;
  readonly snapshotTaken: boolean;
  /** The cluster stands between two releases, and finishing this run ends that. */
  readonly skewEnds: boolean;
  /** Names and addresses of the nodes that this rollout has touched. */
  readonly touched: ReadonlySet<string>;
}

type OwnContext = Pick<GateContext, 'nodes' | 'server' | 'target' | 'inFlight'>;

export function ownMarks({ nodes, server, target, inFlight }: OwnContext): OwnMarks {
  const touched = nodes
    .filter((node) => isTouched(node, inFlight))
    .flatMap((node) => [node.name, node.address]);
  return {
    inFlight: inFlight !== undefined,
    snapshotTaken: inFlight?.snapshotPath !== undefined,
    skewEnds: isOnWay([server, ...nodes.map((node) => node.release)], target),
    touched: new Set(touched),
  };
}

/** More than one release, and every one of them on the way from the oldest to the target. */
function isOnWay(releases: readonly Release[], target: Release): boolean {
  const from = oldest(releases) ?? target;
  const until = newest([target, ...releases]);
  return new Set(releases).size > 1 && until === target && kindOf(from, target) !== undefined;
}

/** Whether a firing alert closes the gate: every one does, but for what the rollout causes by itself. */
export function closesGate(alert: Alert, own: OwnMarks): boolean {
  switch (alert.name) {
    case alertNames.versionSkew:
      return !own.inFlight && !own.skewEnds;
    case alertNames.snapshotMissing:
      // Left by an interrupted run; this one has yet to take its snapshot (F7).
      return own.snapshotTaken;
    case alertNames.recentNodeReboot:
      return !namesTouchedNode(alert.labels, own.touched);
    default:
      return true;
  }
}

/** Exporters name a node by `node`, or by `instance` with or without a port. */
function namesTouchedNode(labels: Readonly<Record<string, string>>, touched: ReadonlySet<string>): boolean {
  const values = [labels.node, labels.instance, labels.instance?.replace(/:\d+$/, '')];
  return values.some((value) => value !== undefined && touched.has(value));
}

/** `RecentNodeReboot (node=k8s-node2)` */
export function describeAlert(alert: Alert): string {
  const labels = Object.entries(alert.labels).filter(([key]) => key !== 'alertname' && key !== 'severity');
  return `alert ${alert.name} is firing${labels.length > 0 ? ` (${labels.map(([k, v]) => `${k}=${v}`).join(', ')})` : ''}`;
}
