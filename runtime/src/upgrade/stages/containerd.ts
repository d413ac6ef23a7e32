import semver from 'semver';
import type { ClusterNode } from '../../cluster/nodes.ts';
import type { Context, Stage } from '../context.ts';

export const containerd: Stage = {
  name: 'containerd',
  summary: 'bring containerd on the control plane up to the workers, where it is behind',
  async idle(ctx) {
    const { behind } = await findSkew(ctx);
    return behind.length > 0 ? undefined : 'no control-plane node is behind the workers';
  },
  async run(ctx) {
    const { behind, version } = await findSkew(ctx);
    for (const node of behind) {
      const target = { node: node.name, address: node.address };
      await ctx.shell.script(target, 'update_containerd', ['--version', version], ctx.settings.timing.script);
    }
    return 'done';
  },
};

/** The oldest version on the workers is the goal: the control plane is not to run ahead of any of them. */
async function findSkew(ctx: Context): Promise<{ behind: ClusterNode[]; version: string }> {
  const nodes = await ctx.cluster.nodes();
  const versions = nodes.filter((n) => !n.controlPlane).map((n) => n.containerd);
  const version = versions.filter((v) => v !== undefined).sort(semver.compare)[0];
  if (version === undefined || versions.includes(undefined)) return { behind: [], version: '' };
  const behind = nodes.filter(
    (n) => n.controlPlane && n.containerd !== undefined && semver.lt(n.containerd, version),
  );
  return { behind, version };
}
