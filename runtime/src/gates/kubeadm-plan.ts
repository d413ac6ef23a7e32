import type { ClusterNode } from '../cluster/nodes.ts';
import type { Release } from '../release.ts';
import { isInProgressOf } from '../rollout/node-marks.ts';
import type { NodeShell } from '../ssh/node-shell.ts';
import type { Findings, Gate, GateContext } from './gate.ts';

/**
 * `kubeadm upgrade plan vX.Y.Z` with the version given skips the look-up on the internet and prints
 * `kubeadm upgrade apply vX.Y.Z` when it offers that version. A control plane that is already at the target prints
 * no such line, so it is not asked then (F9).
 */
export const kubeadmPlan: Gate = {
  name: 'kubeadm-plan',
  summary: 'kubeadm offers the target and would not drop flags that were added by hand',
  outcomeWhenClosed: 'blocked',
  async check(ctx) {
    const { nodes, inFlight } = ctx;
    const [first, ...others] = nodes.filter((node) => node.controlPlane);
    if (first === undefined) return { reasons: ['the cluster shows no control-plane node'] };
    const left = await ctx.remaining();
    const isBehind = left.kubelets.includes(first) || left.servers.includes(first);
    const notAsked = whyNotPlanned(ctx, first, isBehind);
    // Every other control-plane node has manifests of its own, which `upgrade node` writes anew.
    const pending = others.filter((node) => left.nodes.includes(node) && !isInProgressOf(node, inFlight));
    const found = await Promise.all([
      notAsked === undefined ? judgePlan(ctx, first) : { reasons: [], notes: [notAsked] },
      ...(notAsked === undefined ? [first, ...pending] : pending).map((node) => judgeDiff(ctx, node)),
    ]);
    return { reasons: found.flatMap((one) => one.reasons), notes: found.flatMap((one) => one.notes ?? []) };
  },
};

function whyNotPlanned(
  { server, target, inFlight }: GateContext,
  first: ClusterNode,
  isBehind: boolean,
): string | undefined {
  if (!isBehind) return `${first.name} is at ${target} already`;
  // Interrupted in the middle of kubeadm's own work, there is no plan to be had: it may still be at it, or be through.
  if (isInProgressOf(first, inFlight))
    return `${first.name} is being upgraded by this rollout; it was asked before`;
  if (server === target) return `the control plane is at ${target} already; its kubelet is not`;
  return undefined;
}

async function judgePlan({ shell, target, settings }: GateContext, first: ClusterNode): Promise<Findings> {
  const plan = await askPlan(shell, first, target, settings.kubeadm.ignorePreflightErrors);
  if (offers(plan.output, target)) return { reasons: [] };
  const asked = `kubeadm upgrade plan v${target} on ${first.name} (exit ${plan.code})`;
  return { reasons: [`${asked} does not offer it: ${explainRefusal(plan.output)}`] };
}

/**
 * It also runs kubeadm's health check, a Job in kube-system that has 15 seconds, the pull of its image included. A late one may
 * be in time once the image is there (kubernetes/kubernetes#136248).
 */
async function askPlan(shell: NodeShell, first: ClusterNode, target: Release, ignored: readonly string[]) {
  const flags = ignored.length > 0 ? [`--ignore-preflight-errors=${ignored.join(',')}`] : [];
  const ask = () => shell.read(first, ['kubeadm', 'upgrade', 'plan', `v${target}`, ...flags]);
  const plan = await ask();
  return plan.output.includes('[ERROR CreateJob]') ? ask() : plan;
}

function explainRefusal(output: string): string {
  const errors = output.match(/\[ERROR .*/g);
  const said = (errors ?? output.trim().split('\n').slice(-3)).join(' / ') || 'nothing';
  if (!said.includes('[ERROR CoreDNS')) return said;
  return `${said}; to keep CoreDNS as it is (F21) set kubeadm.skipPhases to [addon/coredns] and kubeadm.ignorePreflightErrors to [CoreDNSMigration, CoreDNSUnsupportedPlugins]`;
}

async function judgeDiff({ shell, target }: GateContext, node: ClusterNode): Promise<Findings> {
  const { code, output } = await shell.read(node, ['kubeadm', 'upgrade', 'diff', `v${target}`]);
  if (code !== 0) {
    const why = output.slice(-200);
    return {
      reasons: [],
      notes: [`kubeadm upgrade diff failed on ${node.name}, so dropped flags are unknown: ${why}`],
    };
  }
  const reasons = droppedFlags(output).map(
    ({ manifest, flag }) =>
      `kubeadm would drop ${flag} of ${manifest} on ${node.name}; put it into the kubeadm-config ConfigMap first`,
  );
  return { reasons };
}

/** `v1.34.5` and not `v1.34.50`. */
const offers = (plan: string, target: Release): boolean =>
  [...plan.matchAll(/kubeadm upgrade apply v(\S+)/g)].some(([, version]) => version === target);

/** A flag of one static pod. */
export interface DroppedFlag {
  /** Its manifest's file name. */
  readonly manifest: string;
  readonly flag: string;
}

/**
 * Flags that stand in a control-plane manifest now and not in the one that kubeadm would write (F22).
 *
 * @param diff unified diffs, one a manifest, as `kubeadm upgrade diff` prints them.
 */
export function droppedFlags(diff: string): DroppedFlag[] {
  return diff.split(/^(?=--- )/m).flatMap((part) => {
    const manifest = /^--- \S*?([^/\s]+)(\s|$)/.exec(part)?.[1] ?? 'a manifest';
    const flags = (sign: string) =>
      [...part.matchAll(new RegExp(`^\\${sign}[ \\t]+- (--[a-z0-9-]+)`, 'gm'))].map(([, flag]) => flag ?? '');
    const kept = new Set(flags('+'));
    const dropped = new Set(flags('-').filter((flag) => !kept.has(flag)));
    return [...dropped].map((flag) => ({ manifest, flag }));
  });
}
