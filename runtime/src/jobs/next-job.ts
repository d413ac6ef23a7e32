import type { V1Job } from '@kubernetes/client-node';
import type { KubernetesClient } from '../cluster/client.ts';
import type { ClusterNode } from '../cluster/nodes.ts';
import type { ClusterWriter } from '../cluster/writer.ts';
import { BlockedError } from '../errors.ts';
import { type RemainingSource, remaining } from '../rollout/remaining.ts';
import { inputsOf, type UpgradeRequest } from '../rollout/request.ts';
import { buildJob, jobAffinity, jobNumberOf, listJobs, readExecutionCronJob } from './job.ts';
import { placeJob } from './placement.ts';

/**
 * Submits the Job that continues the run after this one, and waits until a node has accepted its pod.
 *
 * @param avoid the node that this process runs on, which the next Job drains.
 * @returns the Job's name.
 * @throws BlockedError when no node can run it, or none accepts it in time.
 */
export type StartNextJob = (avoid: string) => Promise<string>;

/** What is needed to submit a Job. */
export interface JobPorts {
  /** Reads the template and the Jobs. */
  readonly client: KubernetesClient;
  /** Reads what is left to upgrade. */
  readonly cluster: RemainingSource;
  /** Creates the Job. */
  readonly writer: ClusterWriter;
  /** Namespace of the pipeline. */
  readonly namespace: string;
}

/**
 * Returns the function that submits the next Job of a run. That function may be called once per Job.
 *
 * @param runId identity of the run.
 * @param jobNumber number in its run of the Job that hands over.
 * @param assertScheduled waits until a node has accepted the Job of this name; throws when none does in time.
 */
export function nextJobStarter(
  ports: JobPorts,
  request: UpgradeRequest,
  runId: string,
  jobNumber: number,
  assertScheduled: (job: string) => Promise<void>,
): StartNextJob {
  return async (avoid) => {
    const { metadata } = await submitJob(ports, request, runId, jobNumber + 1, avoid);
    const job = metadata?.name ?? '';
    // Possibly nobody follows the run, so this process is the last one that can report an unscheduled Job.
    await assertScheduled(job);
    return job;
  };
}

/**
 * Finds the Job that continues the run after this one, whether or not it has ended. A Job that was killed
 * after submitting it is restarted by its controller, and must only exit.
 *
 * @returns the Job's name; undefined when there is none.
 */
export async function successorOf(
  client: KubernetesClient,
  namespace: string,
  runId: string,
  jobNumber: number,
): Promise<string | undefined> {
  const later = (await listJobs(client, namespace, runId)).find((job) => jobNumberOf(job) > jobNumber);
  return later?.metadata?.name;
}

/**
 * Submits the first Job of a new run. The submitter and the detector may list the pods of the pipeline's
 * namespace, but not the cluster's, so every API server counts as being at the release of the one that
 * answers. At worst the Job runs beside an old API server, on a node that still has to be drained, and
 * another Job follows it (F1).
 *
 * @throws BlockedError when no node can run it.
 */
export function submitFirstJob(ports: JobPorts, request: UpgradeRequest): Promise<V1Job> {
  const { nodes, serverRelease } = ports.cluster;
  const cluster = { nodes, serverRelease };
  return submitJob({ ...ports, cluster }, request, newRunId(request.target), 1);
}

/**
 * Creates a Job that cannot run on any node that it drains. Not idempotent: each call creates another Job.
 *
 * @param avoid the node that hands over, which this Job drains.
 * @throws BlockedError when no node can run it.
 */
export async function submitJob(
  ports: JobPorts,
  request: UpgradeRequest,
  runId: string,
  jobNumber: number,
  avoid?: string,
): Promise<V1Job> {
  const template = await readExecutionCronJob(ports.client, ports.namespace);
  const tolerations = template.spec?.jobTemplate.spec?.template.spec?.tolerations ?? [];
  const nodes = await ports.cluster.nodes();
  const left = await remaining(ports.cluster, request.target, nodes);
  // This Job drains the node that hands over, even if that node has changed since the handover was decided.
  const pending = nodes.filter((node) => node.name === avoid && !left.nodes.includes(node));
  const upgraded = nodes.filter((node) => node.name !== avoid && !left.nodes.includes(node));
  const placement = placeJob([...left.nodes, ...pending], upgraded, tolerations, avoid);
  if ('reasons' in placement) {
    throw new BlockedError('no node can run the next Job', placement.reasons, {
      hint: `Run it from outside the cluster: k8s-upgrade run --inputs '${inputsOf(request)}' --settings FILE --kubeconfig FILE`,
    });
  }
  const args = ['--inputs', inputsOf(request), '--run-id', runId, '--leg', String(jobNumber)];
  const affinity = jobAffinity(placement.drains.map(hostname), placement.prefers.map(hostname));
  return ports.writer.createJob(buildJob(template, { runId, jobNumber, args, affinity }));
}

const hostname = (node: ClusterNode): string => node.labels['kubernetes.io/hostname'] ?? node.name;

/** `1.34.5` → `1-34-5-mhx2k9q0`; usable as a label value and in a lease's holder. */
export const newRunId = (target: string): string =>
  `${target.replaceAll('.', '-')}-${Date.now().toString(36)}`;
