import type { V1Job } from '@kubernetes/client-node';
import { readHolder } from '../cluster/lease.ts';
import { BlockedError } from '../errors.ts';
import { oldest } from '../release.ts';
import { assertNotHalted } from '../rollout/kill-switch.ts';
import { checkAgainstCluster, inputsOf, type UpgradeRequest } from '../rollout/request.ts';
import { isActive, listLegs, newestPods } from './job.ts';
import { type LegPorts, newRunId, submitLeg } from './next-job.ts';
import { isLost, lost } from './stranded.ts';

export interface Submitted {
  readonly job: V1Job;
  /** An earlier submission of the same inputs was still at work. */
  readonly joined: boolean;
}

/**
 * Starts a run as a Job, or finds the one that is already doing this.
 *
 * @throws UpgradeError (badInput) before anything is created; BlockedError when halted, when another run is at work or
 *   when no node would take the Job.
 */
export async function submit(ports: LegPorts, request: UpgradeRequest): Promise<Submitted> {
  const [nodes, server, [odd]] = await Promise.all([
    ports.cluster.nodes(),
    ports.cluster.serverRelease(),
    ports.cluster.unreadableNodes(),
  ]);
  if (odd !== undefined) throw odd;
  checkAgainstCluster(request, oldest(nodes.map((node) => node.release)) ?? server, server);
  await assertNotHalted(ports.cluster);
  const active = (await listLegs(ports.client, ports.namespace)).find(isActive);
  const holder = await readHolder(ports.client, ports.namespace);
  if (active && (holder === undefined || holder.expired)) await assertNotLost(ports, active);
  if (active) return join(active, request);
  if (holder && !holder.expired) {
    throw new BlockedError('another run is at work', [`${holder.identity} since ${holder.since}`]);
  }
  return { job: await submitLeg(ports, request, newRunId(request.target), 1), joined: false };
}

/** One that is lost would be followed for ever. */
async function assertNotLost({ client, namespace }: LegPorts, { metadata }: V1Job): Promise<void> {
  const name = metadata?.name ?? '';
  const pod = (await newestPods(client, namespace)).get(name);
  if (isLost(pod)) throw lost(namespace, name, pod);
}

function join(job: V1Job, request: UpgradeRequest): Submitted {
  const args = job.spec?.template.spec?.containers[0]?.args ?? [];
  if (args.includes(inputsOf(request))) return { job, joined: true };
  throw new BlockedError('another run is at work', [`Job ${job.metadata?.name}: ${args.join(' ')}`], {
    hint: 'Wait for it, or halt it (k8s-upgrade halt --reason …).',
  });
}
