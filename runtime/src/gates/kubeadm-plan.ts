import type { ClusterNode } from '../cluster/nodes.ts';
import type { Release } from '../release.ts';
import { isInProgressOf } from '../rollout/node-annotations.ts';
import type { NodeShell } from '../ssh/node-shell.ts';
import type { Findings, Gate, GateContext } from './gate.ts';

/**
 * `kubeadm upgrade plan vX.Y.Z` does not look the version up on the internet; it prints `kubeadm upgrade
 * apply vX.Y.Z` when it offers that version. On a control plane that is already at the target it prints no
 * such line, so it is not run there (F9).
 */
export const kubeadmPlan: Gate = {
  name: 'kubeadm-plan',
  summary: 'kubeadm offers the target',
  outcomeWhenClosed: 'blocked',
  async check(ctx) {
    const first = ctx.nodes.find((node) => node.controlPlane);
    if (first === undefined) return { reasons: ['the cluster has no control-plane node'] };
    const left = await ctx.remaining();
    const isBehind = left.kubelets.includes(first) || left.servers.includes(first);
    const notPlanned = whyNotPlanned(ctx, first, isBehind);
    return notPlanned === undefined ? judgePlan(ctx, first) : { reasons: [], notes: [notPlanned] };
  },
};

function whyNotPlanned(
  { server, target, inFlight }: GateContext,
  first: ClusterNode,
  isBehind: boolean,
): string | undefined {
  if (!isBehind) return `${first.name} is at ${target} already`;
  // kubeadm may still be running there, or may have finished: either way it prints no plan.
  if (isInProgressOf(first, inFlight))
    return `this rollout is upgrading ${first.name}, and kubeadm's plan was checked before`;
  if (server === target) return `the control plane is at ${target} already; its kubelet is not`;
  return undefined;
}

async function judgePlan({ shell, target, settings }: GateContext, first: ClusterNode): Promise<Findings> {
  const plan = await readPlan(shell, first, target, settings.kubeadm.ignorePreflightErrors);
  if (offers(plan.output, target)) return { reasons: [] };
  const command = `kubeadm upgrade plan v${target} on ${first.name} (exit ${plan.code})`;
  return { reasons: [`${command} does not offer it: ${explainRefusal(plan.output)}`] };
}

/**
 * The plan includes kubeadm's health check, a Job in kube-system that must complete within 15 seconds, image
 * pull included. After a time-out the plan runs once more, as the image is there by then
 * (kubernetes/kubernetes#136248).
 */
async function readPlan(shell: NodeShell, first: ClusterNode, target: Release, ignored: readonly string[]) {
  const flags = ignored.length > 0 ? [`--ignore-preflight-errors=${ignored.join(',')}`] : [];
  const read = () => shell.read(first, ['kubeadm', 'upgrade', 'plan', `v${target}`, ...flags]);
  const plan = await read();
  return plan.output.includes('[ERROR CreateJob]') ? read() : plan;
}

function explainRefusal(output: string): string {
  const errors = output.match(/\[ERROR .*/g);
  const refusal = (errors ?? output.trim().split('\n').slice(-3)).join(' / ') || 'no output';
  if (!refusal.includes('[ERROR CoreDNS')) return refusal;
  return `${refusal}; to keep CoreDNS as it is (F21), set kubeadm.skipPhases to [addon/coredns] and kubeadm.ignorePreflightErrors to [CoreDNSMigration, CoreDNSUnsupportedPlugins]`;
}

/** `v1.34.5` and not `v1.34.50`. */
const offers = (plan: string, target: Release): boolean =>
  [...plan.matchAll(/kubeadm upgrade apply v(\S+)/g)].some(([, version]) => version === target);
