import semver from 'semver';
import type { ClusterNode } from '../../cluster/nodes.ts';
import { beforeContainerdGates } from '../../gates/index.ts';
import { clearUnfinished, isInProgress, markChanged } from '../../rollout/node-marks.ts';
import { ScriptError } from '../../ssh/node-shell.ts';
import type { Context, StageWork } from '../context.ts';
import { waitForGates } from '../wait-for-gates.ts';

/** Exit code of update_containerd.sh when the node's package manager does not offer the version. */
const versionNotOffered = 4;

export const containerd: StageWork = {
  async skipReason(ctx) {
    const { behind, beyond, version } = await findSkew(ctx);
    if (behind.length > 0) return undefined;
    if (beyond.length === 0) return 'no control-plane node is behind the workers';
    return `${beyond.map((node) => node.name).join(', ')}: to containerd ${version} is another major, which is not for an unattended run`;
  },
  async run(ctx) {
    const { behind, version } = await findSkew(ctx);
    for (const { name } of behind) await updateOn(ctx, name, version);
    return 'done';
  },
};

/**
 * Containers go on while containerd restarts, so nothing is drained; but the node may not be Ready for a moment, and of several never
 * two at once.
 */
async function updateOn(ctx: Context, name: string, version: string): Promise<void> {
  const nodes = await ctx.cluster.nodes();
  await waitForGates(ctx, beforeContainerdGates, `before containerd of ${name}`);
  const node = nodes.find((one) => one.name === name);
  if (node === undefined) return;
  // A node at the target has nothing that a drain could finish.
  await markChanged(ctx, name, ({ release }) => release !== ctx.request.target);
  const { script } = ctx.settings.timing;
  await ctx.shell.script(node, 'update_containerd', ['--version', version], script).catch((error) => {
    // Such as a worker's containerd of another repository. Nothing was changed, and kubeadm does not need it.
    if (!(error instanceof ScriptError) || error.exitCode !== versionNotOffered) throw error;
    ctx.report.emit({
      type: 'notice',
      text: `${error.message}; continuing with containerd as it is on ${name}`,
    });
  });
  // Begun by an earlier process, the stage master has still to finish it.
  if (isInProgress(node)) return;
  await clearUnfinished(ctx, name);
}

/** The oldest version on the workers is the goal: the control plane is not to run ahead of any of them. */
async function findSkew(
  ctx: Context,
): Promise<{ behind: ClusterNode[]; beyond: ClusterNode[]; version: string }> {
  const nodes = await ctx.cluster.nodes();
  const versions = nodes.filter((n) => !n.controlPlane).map((n) => n.containerd);
  const version = versions.filter((v) => v !== undefined).sort(semver.compare)[0];
  if (version === undefined || versions.includes(undefined)) return { behind: [], beyond: [], version: '' };
  const isBehind = (n: ClusterNode) =>
    n.controlPlane && n.containerd !== undefined && semver.lt(n.containerd, version);
  const sameMajor = (n: ClusterNode) => semver.major(n.containerd ?? version) === semver.major(version);
  const all = nodes.filter(isBehind);
  return {
    behind: all.filter(sameMajor),
    beyond: all.filter((n) => !sameMajor(n)),
    version,
  };
}
