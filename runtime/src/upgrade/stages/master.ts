import type { ClusterNode } from '../../cluster/nodes.ts';
import { UpgradeError } from '../../errors.ts';
import { isInterrupted } from '../../gates/alerts.ts';
import { etcdMembers } from '../../gates/etcd-members.ts';
import { controlPlaneGates } from '../../gates/index.ts';
import { serversBehind } from '../../gates/versions.ts';
import type { Context, Stage } from '../context.ts';
import { isPending } from '../nodes/node.ts';
import { rollNodes } from '../nodes/roll.ts';
import { waitForGates } from '../wait-for-gates.ts';

export const master: Stage = {
  async idle(ctx) {
    const { target } = ctx.request;
    const nodes = await ctx.cluster.nodes();
    const pending =
      nodes.some((node) => node.controlPlane && isPending(ctx, node)) ||
      (await serversBehind(ctx.cluster, nodes, target)).length > 0;
    return pending ? undefined : `the control plane is at ${target}`;
  },
  async run(ctx) {
    const { target } = ctx.request;
    // One that was interrupted may have applied half of it: `upgrade node` would take that back to what was uploaded last.
    const isApplied = (nodes: readonly ClusterNode[], behind: readonly ClusterNode[]) =>
      nodes.some(
        (node) =>
          node.controlPlane && node.release === target && !behind.includes(node) && !isInterrupted(node),
      );
    const end = await rollNodes(ctx, {
      belongs: (node) => node.controlPlane,
      role: (nodes, behind) => (isApplied(nodes, behind) ? 'worker' : 'master'),
      // A kubelet at the target says nothing of the API server beside it: somebody may have upgraded it by hand.
      behind: (nodes) => serversBehind(ctx.cluster, nodes, target),
      soak: false,
      before: (next, nodes) => othersAreWell(ctx, next, nodes),
    });
    if (end === 'handed-off') return end;
    await waitForGates(ctx, controlPlaneGates, 'after the control plane');
    const old = await serversBehind(ctx.cluster, await ctx.cluster.nodes(), target);
    if (old.length === 0) return 'done';
    throw new UpgradeError(
      'failed',
      `the control plane was upgraded, and the API server of ${old.map(({ name }) => name).join(', ')} is still older than ${target}`,
      {
        hint: 'Look at the kube-apiserver static pod: crictl ps -a, /etc/kubernetes/manifests.',
      },
    );
  },
};

/** Of several control-plane nodes never two are down at once: all others are well before one is taken, or taken up again. */
async function othersAreWell(ctx: Context, next: ClusterNode, nodes: readonly ClusterNode[]): Promise<void> {
  if (nodes.filter((node) => node.controlPlane).length === 1) return;
  await waitForGates(ctx, [...controlPlaneGates, etcdMembers], `before the control-plane node ${next.name}`);
}
