import { hasExternalEtcd } from '../../cluster/external-etcd.ts';
import type { ClusterNode } from '../../cluster/nodes.ts';
import { UpgradeError } from '../../errors.ts';
import { isChanged } from '../../rollout/node-annotations.ts';
import { remaining } from '../../rollout/remaining.ts';
import type { StageWork } from '../context.ts';

/** Takes and verifies an etcd snapshot, unless one from before the first change exists. */
export const snapshot: StageWork = {
  async skipReason(ctx) {
    const [nodes, inFlight] = await Promise.all([ctx.cluster.nodes(), ctx.journal.read()]);
    if (await hasExternalEtcd(ctx, nodes))
      return 'etcd is outside the cluster (gates.externalEtcdVersion); take its snapshot there yourself';
    const node = firstControlPlane(nodes);
    const { target } = ctx.request;
    const { kubelets, servers } = await remaining(ctx.cluster, target, nodes);
    if (![...kubelets, ...servers].some((one) => one.controlPlane))
      return `the control plane is at ${target} already`;
    if (inFlight?.snapshotPath === undefined) return undefined;
    const taken = inFlight.snapshotPath;
    // Kept at any age: a rollback needs the state before the first change, which a later snapshot lacks.
    if (nodes.some((one) => isChanged(one, inFlight))) return `${taken} is from before the first change`;
    if (Date.now() - takenAt(taken, inFlight.startedAt) > ctx.settings.snapshot.maximumAge) return undefined;
    const verified = await ctx.snapshots.verify(node, taken);
    return verified ? `${taken} was verified again` : undefined;
  },
  async run(ctx) {
    const node = firstControlPlane(await ctx.cluster.nodes());
    const taken = await ctx.snapshots.take(node, ctx.request.target);
    if (taken === undefined) return 'done';
    await ctx.journal.recordSnapshot(taken.path);
    const { path, hash, revision, totalSize: size } = taken;
    ctx.report.emit({ type: 'snapshot', path, hash, revision, size });
    return 'done';
  },
};

function firstControlPlane(nodes: readonly ClusterNode[]): ClusterNode {
  const node = nodes.find((one) => one.controlPlane);
  if (node === undefined) throw new UpgradeError('failed', 'the cluster has no control-plane node');
  return node;
}

/** In ms since the epoch. The file name ends in epoch seconds: `k8s-upgrade-pre-1.34.5-1763812800.db`. */
function takenAt(path: string, otherwise: number): number {
  const seconds = /-(\d{9,11})\.db$/.exec(path)?.[1];
  return seconds === undefined ? otherwise : Number(seconds) * 1000;
}
