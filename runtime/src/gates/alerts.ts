import { formatDuration } from '../duration.ts';
import { UpgradeError } from '../errors.ts';
import { alertNames } from '../names.ts';
import type { Alert, AlertRule, AlertState, PendingAlert } from '../prometheus/alerts.ts';
import { kindOf, newest, oldest, type Release } from '../release.ts';
import { isChanged } from '../rollout/node-annotations.ts';
import { type Soak, soakOf } from '../rollout/soak.ts';
import type { Findings, Gate, GateContext } from './gate.ts';

/** Unknown, and so closed, while Prometheus does not answer. */
export const alertsGate: Gate = {
  name: 'alerts',
  summary: 'no alert of the gating groups is firing, except those that this rollout causes',
  outcomeWhenClosed: 'blocked',
  opensByWaiting: true,
  check: (ctx) => checkAlerts(ctx, []),
};

/**
 * The same at the end of a soak, where alerts that became pending in it close the gate, too: they fire or
 * clear (F34).
 */
export const soakedAlertsGate: Gate = {
  ...alertsGate,
  check: (ctx) =>
    checkAlerts(
      ctx,
      ctx.nodes.flatMap((node) => soakOf(node, ctx.settings) ?? []),
    ),
};

async function checkAlerts(ctx: GateContext, soaks: readonly Soak[]): Promise<Findings> {
  const own = ownEffects(ctx);
  const state = await ctx.alerts.read();
  const { firing, pending } = state;
  const gating = firing.filter((alert) => isGating(alert, own));
  const ignored = firing.filter((alert) => !gating.includes(alert));
  const notes = ignored.map((a) => `${describeAlert(a)}: caused by this rollout, so ignored`);
  if (state.startedAt === undefined) notes.push(unknownStart);
  const young = tooYoung(state, own);
  const undecided = pending.filter((alert) => isGating(alert, own) && beganIn(soaks, alert));
  const reasons = [
    ...gating.map((a) => describeAlert(a)),
    ...(young === undefined ? [] : [young.reason]),
    ...undecided.map(describePending),
  ];
  const times = [...(young === undefined ? [] : [young.until]), ...undecided.map(decidedAt)];
  if (gating.length > 0 || times.length === 0) return { reasons, notes };
  return { reasons, notes, opensAt: Math.max(...times) };
}

const unknownStart =
  'Prometheus does not say when it started, so a restart is not noticed, after which alerts fire late';

/**
 * Why nothing can be concluded yet from what a Prometheus that has just started does not fire: each `for`
 * starts again with it (F34).
 *
 * @throws UpgradeError when an older one does not evaluate a rule.
 */
function tooYoung(
  { rules, startedAt }: AlertState,
  own: OwnEffects,
): { reason: string; until: number } | undefined {
  const gating = rules.filter(({ name }) => isGating({ name, labels: {} }, own));
  const needs = (rule: AlertRule) => rule.holdsFor + (rule.evaluated ? 0 : evaluations);
  const [slowest] = gating.toSorted((a, b) => needs(b) - needs(a));
  const up = startedAt === undefined ? Number.POSITIVE_INFINITY : Date.now() - startedAt;
  if (slowest !== undefined && startedAt !== undefined && up < needs(slowest)) {
    const reason = `Prometheus has been up for ${formatDuration(Math.max(0, up))}, and the rule ${slowest.name} needs ${formatDuration(needs(slowest))}: until then it cannot fire, whatever is wrong`;
    return { reason, until: startedAt + needs(slowest) };
  }
  const missing = gating.filter(({ evaluated }) => !evaluated).map(({ name }) => name);
  if (missing.length === 0) return undefined;
  throw new UpgradeError('blocked', `Prometheus does not evaluate rules: ${missing.join(', ')}`);
}

/** Prometheus evaluates a rule once a minute or more often; an alert fires at the second one after `for`. */
const evaluations = 120_000;

/** When the alert has fired or cleared, at the latest. */
const decidedAt = ({ activeAt, holdsFor }: PendingAlert): number =>
  (activeAt ?? Date.now()) + holdsFor + evaluations;

/** Whether it may come from a node that soaks; one that began after the time of the soak has time to fire. */
const beganIn = (soaks: readonly Soak[], { activeAt }: PendingAlert): boolean =>
  soaks.some(({ since, end }) => activeAt === undefined || (activeAt >= since && activeAt <= end));

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

/** Whether an alert counts: every alert does, except those that the rollout itself causes. */
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

/** `alert KubeQuotaAlmostFull is pending, and fires once it is true for 15m`. */
const describePending = (alert: PendingAlert): string =>
  describeAlert(alert, `pending, and fires once it is true for ${formatDuration(alert.holdsFor)}`);

/** `alert RecentNodeReboot is firing (node=k8s-node2)`. Leaves out the labels alertname and severity. */
export function describeAlert(alert: Alert, state = 'firing'): string {
  const labels = Object.entries(alert.labels).filter(([key]) => key !== 'alertname' && key !== 'severity');
  return `alert ${alert.name} is ${state}${labels.length > 0 ? ` (${labels.map(([k, v]) => `${k}=${v}`).join(', ')})` : ''}`;
}
