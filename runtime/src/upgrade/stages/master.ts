import type { ClusterNode } from '../../cluster/nodes.ts';
import { UpgradeError } from '../../errors.ts';
import { afterControlPlaneGates, nextControlPlaneGates } from '../../gates/index.ts';
import { remaining } from '../../rollout/remaining.ts';
import type { Context, StageWork } from '../context.ts';
import { prepareControlPlane } from '../nodes/prepare.ts';
import { rollNodes } from '../nodes/roll.ts';
import { waitForGates } from '../wait-for-gates.ts';

/** Upgrades the control-plane nodes, one at a time, each with a soak. */
export const master: StageWork = {
  async skipReason(ctx) {
    const { target } = ctx.request;
    const nodes = await ctx.cluster.nodes();
    const left = await remaining(ctx.cluster, target, nodes);
    const isLeft = nodes.some(
      (node) => node.controlPlane && (left.nodes.includes(node) || node.soakingSince !== undefined),
    );
    return isLeft ? undefined : `the control plane is at ${target}`;
  },
  async run(ctx) {
    const { target } = ctx.request;
    await prepareControlPlane(ctx);
    const end = await rollNodes(ctx, {
      belongs: (node) => node.controlPlane,
      // `upgrade node` uses the configuration that kubeadm uploaded last. The new one is uploaded for certain
      // only once a node has finished; until then `upgrade apply` is repeated.
      role: (nodes, left) =>
        nodes.some((node) => node.controlPlane && !left.includes(node)) ? 'worker' : 'master',
      soak: ctx.settings.timing.controlPlaneSoak > 0,
      before: (next, nodes) => waitForOthers(ctx, next, nodes),
    });
    if (end === 'handed-off') return end;
    await waitForGates(ctx, afterControlPlaneGates, 'after the control plane');
    const { servers } = await remaining(ctx.cluster, target);
    if (servers.length === 0) return 'done';
    throw new UpgradeError(
      'failed',
      `the control plane was upgraded, but the API server of ${servers.map(({ name }) => name).join(', ')} is still older than ${target}`,
      {
        hint: 'Check the static pod kube-apiserver: crictl ps -a, /etc/kubernetes/manifests.',
      },
    );
  },
};

/** No two control-plane nodes may be down at once: before each one, all others must be healthy. */
async function waitForOthers(ctx: Context, next: ClusterNode, nodes: readonly ClusterNode[]): Promise<void> {
  if (nodes.filter((node) => node.controlPlane).length === 1) return;
  await waitForGates(ctx, nextControlPlaneGates, `before the control-plane node ${next.name}`);
}
