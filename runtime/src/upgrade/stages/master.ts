import type { ClusterNode } from '../../cluster/nodes.ts';
import { UpgradeError } from '../../errors.ts';
import { afterControlPlaneGates, nextControlPlaneGates } from '../../gates/index.ts';
import { remaining } from '../../rollout/remaining.ts';
import type { Context, StageWork } from '../context.ts';
import { rollNodes } from '../nodes/roll.ts';
import { waitForGates } from '../wait-for-gates.ts';

export const master: StageWork = {
  async skipReason(ctx) {
    const { target } = ctx.request;
    const left = await remaining(ctx.cluster, target);
    return left.nodes.some((node) => node.controlPlane) ? undefined : `the control plane is at ${target}`;
  },
  async run(ctx) {
    const { target } = ctx.request;
    const end = await rollNodes(ctx, {
      belongs: (node) => node.controlPlane,
      // Where one node is through, kubeadm's new configuration is uploaded. One that was interrupted may have applied half of it:
      // `upgrade node` would take that back to what was uploaded last.
      role: (nodes, left) =>
        nodes.some((node) => node.controlPlane && !left.includes(node)) ? 'worker' : 'master',
      soak: false,
      before: (next, nodes) => othersAreWell(ctx, next, nodes),
    });
    if (end === 'handed-off') return end;
    await waitForGates(ctx, afterControlPlaneGates, 'after the control plane');
    const { servers } = await remaining(ctx.cluster, target);
    if (servers.length === 0) return 'done';
    throw new UpgradeError(
      'failed',
      `the control plane was upgraded, and the API server of ${servers.map(({ name }) => name).join(', ')} is still older than ${target}`,
      {
        hint: 'Look at the kube-apiserver static pod: crictl ps -a, /etc/kubernetes/manifests.',
      },
    );
  },
};

/** Of several control-plane nodes never two are down at once: all others are well before one is taken, or taken up again. */
async function othersAreWell(ctx: Context, next: ClusterNode, nodes: readonly ClusterNode[]): Promise<void> {
  if (nodes.filter((node) => node.controlPlane).length === 1) return;
  await waitForGates(ctx, nextControlPlaneGates, `before the control-plane node ${next.name}`);
}
