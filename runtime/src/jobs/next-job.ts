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

export interface JobPorts {
  readonly client: KubernetesClient;
  readonly cluster: RemainingSource;
  readonly writer: ClusterWriter;
  readonly namespace: string;
}

/**
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
    // Nobody may be following the run: this Job is the last process that can report it.
    await assertScheduled(job);
    return job;
  };
}

/**
 * The Job that goes on after this one, ended or not: a Job that was killed between submitting it and its own end is started
 * again, and has nothing more to do.
 *
 * @returns the Job's name.
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
 * The first Job of a new run. Whoever submits one may not list the cluster's pods, so of several API servers the one that answers stands
 * for all. At worst it runs beside an old one, or on a node that is still to be drained where it need not, and another Job follows it (F1).
 */
export function submitFirstJob(ports: JobPorts, request: UpgradeRequest): Promise<V1Job> {
  const { nodes, serverRelease } = ports.cluster;
  const cluster = { nodes, serverRelease };
  return submitJob({ ...ports, cluster }, request, newRunId(request.target), 1);
}

/** Creates the Job of one Job, placed away from every node that it drains. */
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
  // The node that hands over is drained by this Job, whatever has become of it since that was decided.
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
