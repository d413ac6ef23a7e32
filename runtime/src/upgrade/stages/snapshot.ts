import { UpgradeError } from '../../errors.ts';
import type { Context, Stage } from '../context.ts';

export const snapshot: Stage = {
  name: 'snapshot',
  summary: 'save and verify an etcd snapshot',
  async idle(ctx) {
    const [node, inFlight] = await Promise.all([firstControlPlane(ctx), ctx.journal.read()]);
    if (node.release === ctx.request.target) return `${node.name} is at ${ctx.request.target} already`;
    if (inFlight?.snapshotPath === undefined) return undefined;
    const taken = inFlight.snapshotPath;
    if (Date.now() - takenAt(taken, inFlight.startedAt) > ctx.settings.snapshot.maximumAge) return undefined;
    const verified = await ctx.snapshots.verify({ node: node.name, address: node.address }, taken);
    return verified ? `${taken} was verified again` : undefined;
  },
  async run(ctx) {
    const node = await firstControlPlane(ctx);
    const taken = await ctx.snapshots.take({ node: node.name, address: node.address }, ctx.request.target);
    if (taken === undefined) return 'done';
    await ctx.journal.recordSnapshot(taken.path);
    const { path, hash, revision, totalSize: size } = taken;
    ctx.report.emit({ type: 'snapshot', path, hash, revision, size });
    return 'done';
  },
};

async function firstControlPlane(ctx: Context) {
  const node = (await ctx.cluster.nodes()).find((one) => one.controlPlane);
  if (node === undefined) throw new UpgradeError('failed', 'the cluster shows no control-plane node');
  return node;
}

/** The file's name ends in its epoch seconds: `k8s-upgrade-pre-1.34.5-1763812800.db`. */
function takenAt(path: string, otherwise: number): number {
  const seconds = /-(\d{9,11})\.db$/.exec(path)?.[1];
  return seconds === undefined ? otherwise : Number(seconds) * 1000;
}
