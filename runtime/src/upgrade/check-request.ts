import type { ClusterNode } from '../cluster/nodes.ts';
import { InputError } from '../errors.ts';
import { minorOf, oldest, type Release } from '../release.ts';
import { remaining } from '../rollout/remaining.ts';
import { checkAgainstCluster } from '../rollout/request.ts';
import type { Context } from './context.ts';

/**
 * Checks the request against the cluster. Changes nothing; may be called any number of times.
 *
 * @returns the nodes, and the oldest release that a kubelet runs.
 * @throws UpgradeError (badInput), but during a rollout only when the request itself is wrong.
 */
export async function checkRequest(ctx: Context): Promise<{ nodes: ClusterNode[]; running: Release }> {
  const [nodes, server, [unreadable], found] = await Promise.all([
    ctx.cluster.nodes(),
    ctx.cluster.serverRelease(),
    ctx.cluster.unreadableNodes(),
    ctx.journal.read(),
  ]);
  // During a rollout something was already changed, so the gates report it and the run is blocked.
  if (unreadable !== undefined && found === undefined) throw unreadable;
  const running = oldest(nodes.map((node) => node.release)) ?? server;
  checkAgainstCluster(ctx.request, running, server);
  const cluster = { ...ctx.cluster, serverRelease: async () => server };
  const left = await remaining(cluster, ctx.request.target, nodes);
  // A URL that belongs to another server is bad input. The gates handle a server that does not answer.
  const answers: Promise<unknown>[] = [
    ctx.alerts.read(),
    ...(left.nodes.length > 0 ? [readRepository(ctx)] : []),
  ];
  const wrong = (await Promise.allSettled(answers)).flatMap((one) =>
    one.status === 'rejected' && one.reason instanceof InputError ? [one.reason] : [],
  );
  if (wrong[0] !== undefined && found === undefined) throw wrong[0];
  return { nodes, running };
}

async function readRepository({ repository, request }: Context): Promise<void> {
  const minor = minorOf(request.target);
  if (await repository.hasMinor(minor)) await repository.packages(minor);
}
