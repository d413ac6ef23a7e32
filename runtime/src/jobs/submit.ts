import type { V1Job } from '@kubernetes/client-node';
import type { ClusterReader } from '../cluster/reader.ts';
import { BlockedError } from '../errors.ts';
import { oldest } from '../release.ts';
import { assertNotHalted, ConfigMapKillSwitch } from '../rollout/kill-switch.ts';
import { checkAgainstCluster, inputsOf, type UpgradeRequest } from '../rollout/request.ts';
import { type JobPorts, submitFirstJob } from './next-job.ts';
import { hasStrandedJob, readRunInProgress } from './run-in-progress.ts';
import { stranded } from './stranded.ts';

/** What is needed to submit a run. */
export interface SubmitPorts extends JobPorts {
  /** Also finds nodes that cannot be read. */
  readonly cluster: JobPorts['cluster'] & Pick<ClusterReader, 'unreadableNodes'>;
}

/** The Job of a submission. */
export interface Submitted {
  /** The new Job, or the one that was joined. */
  readonly job: V1Job;
  /** Whether it is the Job of an earlier submission with the same inputs, still in progress. */
  readonly joined: boolean;
}

/**
 * Starts a run as a Job, or joins the active Job with the same inputs. May be called again.
 *
 * @throws UpgradeError (badInput) before anything is created; BlockedError when upgrades are halted, another
 *   run is in progress, its Job is stranded, or no node can run the Job.
 */
export async function submit(ports: SubmitPorts, request: UpgradeRequest): Promise<Submitted> {
  const { client, cluster, namespace } = ports;
  const [nodes, server, [unreadable]] = await Promise.all([
    cluster.nodes(),
    cluster.serverRelease(),
    cluster.unreadableNodes(),
  ]);
  if (unreadable !== undefined) throw unreadable;
  checkAgainstCluster(request, oldest(nodes.map((node) => node.release)) ?? server, server);
  await assertNotHalted(new ConfigMapKillSwitch(client, namespace));
  const inProgress = await readRunInProgress(client, namespace);
  const { active, holder } = inProgress;
  // Whoever followed it would wait forever.
  if (active && hasStrandedJob(inProgress)) throw stranded(namespace, active.name, active.pod);
  if (active) return join(active.job, request);
  if (holder) {
    throw new BlockedError('another run is in progress', [`${holder.identity} since ${holder.since}`]);
  }
  return { job: await submitFirstJob(ports, request), joined: false };
}

function join(job: V1Job, request: UpgradeRequest): Submitted {
  const args = job.spec?.template.spec?.containers[0]?.args ?? [];
  if (args.includes(inputsOf(request))) return { job, joined: true };
  throw new BlockedError('another run is in progress', [`Job ${job.metadata?.name}: ${args.join(' ')}`], {
    hint: 'Wait for it, or halt it (k8s-upgrade halt --reason …).',
  });
}
