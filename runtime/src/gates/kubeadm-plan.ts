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
  summary: 'kubeadm offers the target and would not drop flags that somebody added to a manifest',
  outcomeWhenClosed: 'blocked',
  async check(ctx) {
    const { nodes, inFlight } = ctx;
    const [first, ...others] = nodes.filter((node) => node.controlPlane);
    if (first === undefined) return { reasons: ['the cluster has no control-plane node'] };
    const left = await ctx.remaining();
    const isBehind = left.kubelets.includes(first) || left.servers.includes(first);
    const notPlanned = whyNotPlanned(ctx, first, isBehind);
    // Every other control-plane node has its own manifests, which `upgrade node` rewrites.
    const pending = others.filter((node) => left.nodes.includes(node) && !isInProgressOf(node, inFlight));
    const found = await Promise.all([
      notPlanned === undefined ? judgePlan(ctx, first) : { reasons: [], notes: [notPlanned] },
      ...(notPlanned === undefined ? [first, ...pending] : pending).map((node) => judgeDiff(ctx, node)),
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

async function judgeDiff({ shell, target }: GateContext, node: ClusterNode): Promise<Findings> {
  const { code, output } = await shell.read(node, ['kubeadm', 'upgrade', 'diff', `v${target}`]);
  if (code !== 0) {
    const why = output.slice(-200);
    return {
      reasons: [],
      notes: [
        `kubeadm upgrade diff failed on ${node.name}, so it is unknown which flags it would drop: ${why}`,
      ],
    };
  }
  const reasons = droppedFlags(output).map(
    ({ manifest, flag }) =>
      `kubeadm would drop ${flag} of ${manifest} on ${node.name}; add it to the ConfigMap kubeadm-config first`,
  );
  return { reasons };
}

/** `v1.34.5` and not `v1.34.50`. */
const offers = (plan: string, target: Release): boolean =>
  [...plan.matchAll(/kubeadm upgrade apply v(\S+)/g)].some(([, version]) => version === target);

/** A flag of one static pod that `kubeadm upgrade` would remove. */
export interface DroppedFlag {
  /** The file name of the manifest: `kube-apiserver.yaml`. */
  readonly manifest: string;
  /** Without its value: `--v`. */
  readonly flag: string;
}

/**
 * Flags that are in a control-plane manifest but not in the one that kubeadm would write (F22).
 *
 * @param diff unified diffs, one per manifest, as `kubeadm upgrade diff` prints them.
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
