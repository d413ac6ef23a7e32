import { alertNames } from '../names.ts';
import type { Alert } from '../prometheus/alerts.ts';
import { kindOf, newest, oldest, type Release } from '../release.ts';
import { isChanged } from '../rollout/node-annotations.ts';
import type { Gate, GateContext } from './gate.ts';

/** Unknown, and so closed, while Prometheus does not answer. */
export const alertsGate: Gate = {
  name: 'alerts',
  summary: 'no alert of the gating groups is firing, except those that this rollout causes',
  outcomeWhenClosed: 'blocked',
  opensByWaiting: true,
  async check(ctx) {
    const own = ownEffects(ctx);
    const firing = await ctx.alerts.firing();
    const gating = firing.filter((alert) => isGating(alert, own));
    const ignored = firing.filter((alert) => !gating.includes(alert));
    return {
      reasons: gating.map(describeAlert),
      notes: ignored.map((a) => `${describeAlert(a)}: caused by this rollout, so ignored`),
    };
  },
};

/** What this rollout does to the cluster itself: alerts that follow from it are ignored (F8). */
export interface OwnEffects {
  /** A rollout is in flight. */
  readonly inFlight: boolean;
  /** The rollout in flight has recorded its snapshot. */
  readonly snapshotTaken: boolean;
  /** The cluster runs more than one release, and finishing this run ends that. */
  readonly skewEnds: boolean;
  /** Names and addresses of the nodes that this rollout has changed. */
  readonly changed: ReadonlySet<string>;
}

type OwnContext = Pick<GateContext, 'nodes' | 'server' | 'target' | 'inFlight'>;

/** Derives from the cluster and the in-flight annotations what the rollout has caused. Pure. */
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

/** Whether several releases run, all of them on the path from the oldest to the target. */
function isOnWay(releases: readonly Release[], target: Release): boolean {
  const from = oldest(releases) ?? target;
  const until = newest([target, ...releases]);
  return new Set(releases).size > 1 && until === target && kindOf(from, target) !== undefined;
}

/** Whether a firing alert counts: every alert does, except those that the rollout itself causes. */
export function isGating(alert: Alert, own: OwnEffects): boolean {
  switch (alert.name) {
    case alertNames.versionSkew:
      return !own.inFlight && !own.skewEnds;
    case alertNames.snapshotMissing:
      // Before this run has taken its snapshot, the alert is about an interrupted run (F7).
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

/** `alert RecentNodeReboot is firing (node=k8s-node2)`. Leaves out the labels alertname and severity. */
export function describeAlert(alert: Alert): string {
  const labels = Object.entries(alert.labels).filter(([key]) => key !== 'alertname' && key !== 'severity');
  return `alert ${alert.name} is firing${labels.length > 0 ? ` (${labels.map(([k, v]) => `${k}=${v}`).join(', ')})` : ''}`;
}
