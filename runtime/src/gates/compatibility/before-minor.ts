import semver from 'semver';
import type { ClusterNode } from '../../cluster/nodes.ts';
import { minorOf, type Release } from '../../release.ts';
import type { Findings, Gate, GateContext } from '../gate.ts';
import type { Minor } from './tables.ts';

/** Whose minor changes: a rollout that stands half way is asked only about what is left of it. */
export type Scope = 'control plane' | 'nodes';

interface MinorGate {
  readonly name: string;
  readonly summary: string;
  readonly scope: Scope;
  check(ctx: GateContext): Promise<Findings>;
}

/** A gate that is asked before a minor only; for anything else it says so. */
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

/** The nodes whose kubelet is of another minor than the target. */
export const crossingNodes = ({ nodes, target }: GateContext): ClusterNode[] =>
  nodes.filter((node) => minorOf(node.release) !== minorOf(target));

/** Something of `minor` comes in between these two releases. */
export const isCrossed = (minor: Minor, from: Release, to: Release): boolean =>
  semver.lt(from, `${minor}.0`) && semver.gte(to, `${minor}.0`);

function whyNotAsked(ctx: GateContext, scope: Scope): string | undefined {
  const { server, target } = ctx;
  const controlPlane = minorOf(server) !== minorOf(target);
  const nodes = crossingNodes(ctx).length > 0;
  if (!controlPlane && !nodes) return `not asked: ${target} is a patch, and a patch takes nothing away`;
  if (scope === 'control plane' && !controlPlane)
    return `not asked: the control plane is at ${server} already`;
  if (scope === 'nodes' && !nodes) return `not asked: every kubelet is at ${minorOf(target)} already`;
  return undefined;
}
