import type { ClusterNode } from '../cluster/nodes.ts';
import { InputError } from '../errors.ts';
import { minorOf, oldest, type Release } from '../release.ts';
import { remaining } from '../rollout/remaining.ts';
import { checkAgainstCluster } from '../rollout/request.ts';
import type { Context } from './context.ts';

/**
 * Reads the cluster and checks the request against it; touches nothing.
 *
 * @throws UpgradeError (badInput).
 */
export async function checkRequest(ctx: Context): Promise<{ nodes: ClusterNode[]; running: Release }> {
  const [nodes, server, [unreadable], found] = await Promise.all([
    ctx.cluster.nodes(),
    ctx.cluster.serverRelease(),
    ctx.cluster.unreadableNodes(),
    ctx.journal.read(),
  ]);
  // In the middle of a rollout something was changed: there the gates say it.
  if (unreadable !== undefined && found === undefined) throw unreadable;
  const running = oldest(nodes.map((node) => node.release)) ?? server;
  checkAgainstCluster(ctx.request, running, server);
  const cluster = { ...ctx.cluster, serverRelease: async () => server };
  const left = await remaining(cluster, ctx.request.target, nodes);
  // A URL of something else is bad input; what is away is for the gates.
  const answers: Promise<unknown>[] = [
    ctx.alerts.firing(),
    ...(left.nodes.length > 0 ? [askRepository(ctx)] : []),
  ];
  const wrong = (await Promise.allSettled(answers)).flatMap((one) =>
    one.status === 'rejected' && one.reason instanceof InputError ? [one.reason] : [],
  );
  if (wrong[0] !== undefined && found === undefined) throw wrong[0];
  return { nodes, running };
}

async function askRepository({ repository, request }: Context): Promise<void> {
  const minor = minorOf(request.target);
  if (await repository.hasMinor(minor)) await repository.packages(minor);
}
