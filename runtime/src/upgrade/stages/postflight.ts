import { UpgradeError } from '../../errors.ts';
import { postflightGates } from '../../gates/index.ts';
import { addOnsAfter } from '../../gates/kubeadm/addons-after.ts';
import { podRatio } from '../../gates/pod-ratio.ts';
import { clearSoaks } from '../../rollout/node-annotations.ts';
import { remaining } from '../../rollout/remaining.ts';
import type { Context, StageWork } from '../context.ts';
import { reportNotes, waitForGates } from '../wait-for-gates.ts';

/** Verifies that every node is at the target and the cluster is healthy, and clears soak annotations. */
export const postflight: StageWork = {
  skipReason: async () => undefined,
  async run(ctx) {
    await assertAllUpgraded(ctx);
    const verdicts = await waitForGates(ctx, postflightGates, 'at post-flight');
    reportNotes(
      ctx,
      verdicts.filter(({ gate }) => gate === podRatio.name || gate === addOnsAfter.name),
    );
    // The others are cleared after the report: a process that resumes after a crash here needs them.
    await clearSoaks(ctx);
    return 'done';
  },
};

async function assertAllUpgraded({ cluster, request }: Context): Promise<void> {
  const { target } = request;
  const { nodes, kubelets, servers, inProgress } = await remaining(cluster, target);
  if (nodes.length === 0) return;
  const unfinished = nodes.filter((node) => kubelets.includes(node) || inProgress.includes(node));
  const behind = [
    ...servers.map((node) => `the API server of ${node.name}`),
    ...unfinished.map((node) => `${node.name} (${node.release})`),
  ];
  throw new UpgradeError('failed', `not everything is at ${target}: ${behind.join(', ')}`, {
    hint: 'Run again with all stages.',
  });
}
