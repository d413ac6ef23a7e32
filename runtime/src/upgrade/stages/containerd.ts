import semver from 'semver';
import type { ClusterNode } from '../../cluster/nodes.ts';
import { beforeContainerdGates } from '../../gates/index.ts';
import { clearUnfinished, isInProgress, recordChange } from '../../rollout/node-annotations.ts';
import { ScriptError } from '../../ssh/node-shell.ts';
import type { Context, StageWork } from '../context.ts';
import { waitForGates } from '../wait-for-gates.ts';

/** Exit code of update_containerd.sh when the node's package manager does not offer the version. */
const versionNotOffered = 4;

/** Upgrades containerd on control-plane nodes where it is older than on the workers. */
export const containerd: StageWork = {
  async skipReason(ctx) {
    const { behind, beyond, version } = await findSkew(ctx);
    if (behind.length > 0) return undefined;
    if (beyond.length === 0) return 'no control-plane node is behind the workers';
    return `${beyond.map((node) => node.name).join(', ')}: containerd ${version} is another major, which an unattended run does not install`;
  },
  async run(ctx) {
    const { behind, version } = await findSkew(ctx);
    for (const { name } of behind) await updateOn(ctx, name, version);
    return 'done';
  },
};

/**
 * Containers keep running while containerd restarts, so nothing is drained. But the node may briefly be not
 * Ready, so the gates come first: no two control-plane nodes may be down at once.
 */
async function updateOn(ctx: Context, name: string, version: string): Promise<void> {
  const nodes = await ctx.cluster.nodes();
  await waitForGates(ctx, beforeContainerdGates, `before containerd of ${name}`);
  const node = nodes.find((one) => one.name === name);
  if (node === undefined) return;
  // On a node at the target no later drain would finish this, so it is not marked as unfinished.
  await recordChange(ctx, name, ({ release }) => release !== ctx.request.target);
  const { script } = ctx.settings.timing;
  await ctx.shell.script(node, 'update_containerd', ['--version', version], script).catch((error) => {
    // The workers may have theirs from another repository. Nothing was changed, and kubeadm does not need it.
    if (!(error instanceof ScriptError) || error.exitCode !== versionNotOffered) throw error;
    ctx.report.emit({
      type: 'notice',
      text: `${error.message}; continuing with containerd as it is on ${name}`,
    });
  });
  // The stage master finishes a node whose upgrade an earlier process started.
  if (isInProgress(node)) return;
  await clearUnfinished(ctx, name);
}

/** The goal is the oldest version on the workers, so that the control plane is not ahead of any of them. */
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
