import type { V1Job } from '@kubernetes/client-node';
import type { KubernetesClient } from '../cluster/client.ts';
import type { ClusterNode } from '../cluster/nodes.ts';
import type { ClusterWriter } from '../cluster/writer.ts';
import { BlockedError } from '../errors.ts';
import { type RemainingSource, remaining } from '../rollout/remaining.ts';
import { inputsOf, type UpgradeRequest } from '../rollout/request.ts';
import { legAffinity, legJob, legOf, listLegs, readExecutionCronJob } from './job.ts';
import { placeLeg } from './placement.ts';

/** The Jobs that a run inside the cluster consists of. */
export interface Legs {
  /**
   * Submits the leg after this one.
   *
   * @param avoid the node under this process, which the next leg drains.
   * @returns the Job's name. @throws BlockedError when no node would take it, or none has.
   */
  next(avoid: string): Promise<string>;
}

export interface LegPorts {
  readonly client: KubernetesClient;
  readonly cluster: RemainingSource;
  readonly writer: ClusterWriter;
  readonly namespace: string;
}

/**
 * @param run identity of the run; @param leg the number of the leg that hands over, 0 for the first submission.
 * @param taken waits until a node has taken the Job of this name; throws when none does.
 */
export function jobLegs(
  ports: LegPorts,
  request: UpgradeRequest,
  run: string,
  leg: number,
  taken: (job: string) => Promise<void>,
): Legs {
  return {
    async next(avoid) {
      const { metadata } = await submitLeg(ports, request, run, leg + 1, avoid);
      const job = metadata?.name ?? '';
      // Nobody may be following: this leg is the last that can tell.
      await taken(job);
      return job;
    },
  };
}

/**
 * The leg that goes on after this one, ended or not: a leg that was killed between submitting it and its own end is started
 * again, and has nothing more to do.
 *
 * @returns the Job's name.
 */
export async function laterLeg(
  client: KubernetesClient,
  namespace: string,
  run: string,
  leg: number,
): Promise<string | undefined> {
  const later = (await listLegs(client, namespace, run)).find((job) => legOf(job) > leg);
  return later?.metadata?.name;
}

/**
 * The first Job of a new run. Whoever submits one may not list the cluster's pods, so of several API servers the one that answers stands
 * for all. At worst it runs beside an old one, or on a node that is still to be drained where it need not, and another Job follows it (F1).
 */
export function submitFirstLeg(ports: LegPorts, request: UpgradeRequest): Promise<V1Job> {
  const { nodes, serverRelease } = ports.cluster;
  const cluster = { nodes, serverRelease };
  return submitLeg({ ...ports, cluster }, request, newRunId(request.target), 1);
}

/** Creates the Job of one leg, placed away from every node that it drains. */
export async function submitLeg(
  ports: LegPorts,
  request: UpgradeRequest,
  run: string,
  leg: number,
  avoid?: string,
): Promise<V1Job> {
  const template = await readExecutionCronJob(ports.client, ports.namespace);
  const tolerations = template.spec?.jobTemplate.spec?.template.spec?.tolerations ?? [];
  const nodes = await ports.cluster.nodes();
  const left = await remaining(ports.cluster, request.target, nodes);
  // The node that hands over is drained by this leg, whatever has become of it since that was decided.
  const pending = nodes.filter((node) => node.name === avoid && !left.nodes.includes(node));
  const upgraded = nodes.filter((node) => node.name !== avoid && !left.nodes.includes(node));
  const placement = placeLeg([...left.nodes, ...pending], upgraded, tolerations, avoid);
  if ('reasons' in placement) {
    throw new BlockedError('no node can run the next leg', placement.reasons, {
      hint: `Run it from outside the cluster: k8s-upgrade run --inputs '${inputsOf(request)}' --settings FILE --kubeconfig FILE`,
    });
  }
  const args = ['--inputs', inputsOf(request), '--run-id', run, '--leg', String(leg)];
  const affinity = legAffinity(placement.drains.map(hostname), placement.prefers.map(hostname));
  return ports.writer.createJob(legJob(template, { run, leg, args, affinity }));
}

const hostname = (node: ClusterNode): string => node.labels['kubernetes.io/hostname'] ?? node.name;

/** `1.34.5` → `1-34-5-mhx2k9q0`; usable as a label value and in a lease's holder. */
export const newRunId = (target: string): string =>
  `${target.replaceAll('.', '-')}-${Date.now().toString(36)}`;
