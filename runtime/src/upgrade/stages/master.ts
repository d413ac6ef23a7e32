import type { ClusterNode } from '../../cluster/nodes.ts';
import { UpgradeError } from '../../errors.ts';
import { etcdMembers } from '../../gates/etcd-members.ts';
import { controlPlaneGates } from '../../gates/gates.ts';
import type { Context, Stage } from '../context.ts';
import { isPending } from '../node.ts';
import { rollNodes } from '../roll.ts';
import { waitForGates } from '../wait-for-gates.ts';

export const master: Stage = {
  name: 'master',
  summary: 'upgrade the control plane: kubeadm upgrade apply on its first node, upgrade node on the others',
  async idle(ctx) {
    const pending = (await ctx.cluster.nodes()).some((node) => node.controlPlane && isPending(ctx, node));
    return pending ? undefined : `the control plane is at ${ctx.request.target}`;
  },
  async run(ctx) {
    const { target } = ctx.request;
    const isApplied = (nodes: readonly { controlPlane: boolean; release: string }[]) =>
      nodes.some((node) => node.controlPlane && node.release === target);
    const end = await rollNodes(ctx, {
      belongs: (node) => node.controlPlane,
      role: (nodes) => (isApplied(nodes) ? 'worker' : 'master'),
      soak: false,
      before: (next, nodes) => othersAreWell(ctx, next, nodes),
    });
    if (end === 'handed-off') return end;
    await waitForGates(ctx, controlPlaneGates, 'after the control plane');
    const server = await ctx.cluster.serverRelease();
    if (server === target) return 'done';
    throw new UpgradeError(
      'failed',
      `the control plane was upgraded, and the API server still answers ${server}`,
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
