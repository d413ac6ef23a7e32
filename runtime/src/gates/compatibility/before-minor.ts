import semver from 'semver';
import type { ClusterNode } from '../../cluster/nodes.ts';
import { minorOf, type Release } from '../../release.ts';
import type { Findings, Gate, GateContext } from '../gate.ts';
import type { Minor } from './tables.ts';

/** Whose minor changes. During a rollout a gate checks only the part that is still at the old minor. */
export type Scope = 'control plane' | 'nodes';

interface MinorGate extends Pick<Gate, 'name' | 'summary'> {
  readonly scope: Scope;
  check(ctx: GateContext): Promise<Findings>;
}

/** A gate that checks only before a minor. Otherwise it is open, and `notAsked` says why. */
export function beforeMinor({ scope, ...gate }: MinorGate): Gate {
  return {
    ...gate,
    outcomeWhenClosed: 'blocked',
    async check(ctx) {
      const notAsked = whyNotAsked(ctx, scope);
      return notAsked === undefined ? gate.check(ctx) : { reasons: [], notAsked };
    },
  };
}

/** The nodes whose kubelet has another minor than the target. */
export const crossingNodes = ({ nodes, target }: GateContext): ClusterNode[] =>
  nodes.filter((node) => minorOf(node.release) !== minorOf(target));

/** Whether an upgrade between these two releases crosses the start of `minor`. */
export const isCrossed = (minor: Minor, from: Release, to: Release): boolean =>
  semver.lt(from, `${minor}.0`) && semver.gte(to, `${minor}.0`);

function whyNotAsked(ctx: GateContext, scope: Scope): string | undefined {
  const { server, target } = ctx;
  const controlPlane = minorOf(server) !== minorOf(target);
  const nodes = crossingNodes(ctx).length > 0;
  if (!controlPlane && !nodes)
    return `not checked: the control plane and every kubelet are at ${minorOf(target)} already`;
  if (scope === 'control plane' && !controlPlane)
    return `not checked: the control plane is at ${server} already`;
  if (scope === 'nodes' && !nodes) return `not checked: every kubelet is at ${minorOf(target)} already`;
  return undefined;
}
