import { randomBytes } from 'node:crypto';
import type { V1Affinity, V1CronJob, V1Job, V1Pod } from '@kubernetes/client-node';
import { isNotFound } from '../cluster/api-error.ts';
import type { KubernetesClient } from '../cluster/client.ts';
import { isFinished } from '../cluster/pods.ts';
import { UpgradeError } from '../errors.ts';
import { jobLabels, objectNames } from '../names.ts';

/** One Job of a run, as a Job. */
export interface JobSpec {
  /** The same on every Job of a run; a label value. */
  readonly runId: string;
  /** 1, 2, … */
  readonly jobNumber: number;
  /** Appended to the template's arguments. */
  readonly args: readonly string[];
  readonly affinity: V1Affinity;
}

/**
 * The Job that `kubectl create job --from=cronjob/k8s-version-upgrade` would make, with its own arguments and
 * placement. Its name is random, so that a dead Job's never stands in the way (F6), and chosen here, so that a retried
 * creation finds its own.
 */
export function buildJob(template: V1CronJob, spec: JobSpec): V1Job {
  const jobTemplate = template.spec?.jobTemplate;
  const podSpec = jobTemplate?.spec?.template.spec;
  const [container, ...sidecars] = podSpec?.containers ?? [];
  if (!jobTemplate?.spec || !podSpec || !container) {
    throw new UpgradeError('failed', `CronJob ${objectNames.executionCronJob} has no container to run`);
  }
  const labels = { [jobLabels.run]: spec.runId, [jobLabels.number]: String(spec.jobNumber) };
  const podTemplate = jobTemplate.spec.template;
  return {
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: {
      name: `${objectNames.executionCronJob}-${spec.jobNumber}-${randomBytes(4).toString('hex')}`,
      labels: { ...jobTemplate.metadata?.labels, ...labels },
      annotations: { ...jobTemplate.metadata?.annotations, 'cronjob.kubernetes.io/instantiate': 'manual' },
    },
    spec: {
      ...jobTemplate.spec,
      template: {
        metadata: { ...podTemplate.metadata, labels: { ...podTemplate.metadata?.labels, ...labels } },
        spec: {
          ...podSpec,
          affinity: { ...podSpec.affinity, ...spec.affinity },
          containers: [{ ...container, args: [...(container.args ?? []), ...spec.args] }, ...sidecars],
        },
      },
    },
  };
}

/** @throws UpgradeError when the pipeline is not deployed in this namespace. */
export async function readExecutionCronJob(client: KubernetesClient, namespace: string): Promise<V1CronJob> {
  const name = objectNames.executionCronJob;
  try {
    return await client.call(`read CronJob ${name}`, () =>
      client.batch.readNamespacedCronJob({ name, namespace }),
    );
  } catch (error) {
    if (!isNotFound(error)) throw error;
    throw new UpgradeError('blocked', `CronJob ${namespace}/${name} does not exist`, {
      hint: 'Deploy the pipeline, or run from outside the cluster: k8s-upgrade run --kubeconfig …',
    });
  }
}

/** The Jobs of Jobs, newest first. @param run only those of this run. */
export async function listJobs(
  client: KubernetesClient,
  namespace: string,
  runId?: string,
): Promise<V1Job[]> {
  const labelSelector = runId === undefined ? jobLabels.run : `${jobLabels.run}=${runId}`;
  const { items } = await client.call('list the Jobs of runs', () =>
    client.batch.listNamespacedJob({ namespace, labelSelector }),
  );
  return items.sort((a, b) => createdAt(b) - createdAt(a) || jobNumberOf(b) - jobNumberOf(a));
}

export const jobNumberOf = (job: V1Job): number => Number(job.metadata?.labels?.[jobLabels.number] ?? 0);
export const runOf = (job: V1Job): string => job.metadata?.labels?.[jobLabels.run] ?? '';

const hasCondition = (job: V1Job, type: string) =>
  job.status?.conditions?.some((c) => c.type === type && c.status === 'True') ?? false;

export const isActive = (job: V1Job): boolean =>
  !hasCondition(job, 'Complete') && !hasCondition(job, 'Failed');
export const hasFailed = (job: V1Job): boolean => hasCondition(job, 'Failed');

export const createdAt = ({ metadata }: V1Pod | V1Job): number =>
  new Date(metadata?.creationTimestamp ?? Date.now()).getTime();

const jobNameLabel = 'batch.kubernetes.io/job-name';
/** Selects the pods of one Job. The newest of them is the one that counts. */
export const podsOfJob = (job: string): string => `${jobNameLabel}=${job}`;

/** The newest pod of each Job, by the name of its Job. */
export async function newestPods(client: KubernetesClient, namespace: string): Promise<Map<string, V1Pod>> {
  const { items } = await client.call('list the pods of runs', () =>
    client.core.listNamespacedPod({ namespace, labelSelector: jobLabels.run }),
  );
  return new Map(oldestFirst(items).map((pod) => [jobOf(pod), pod]));
}

/** The name of the Job that made the pod. */
export const jobOf = (pod: V1Pod): string => pod.metadata?.labels?.[jobNameLabel] ?? '';

/** By age; the API lists by name, and the names of a Job's pods end in random letters. */
export const oldestFirst = (pods: readonly V1Pod[]): V1Pod[] =>
  [...pods].sort((a, b) => createdAt(a) - createdAt(b));

export const newestPod = (pods: readonly V1Pod[]): V1Pod | undefined => oldestFirst(pods).at(-1);

/** A node has it, or had it. */
export const isScheduled = (pod: V1Pod): boolean => pod.spec?.nodeName !== undefined || isFinished(pod);

/** When a pod that waits for a node is to be reported, epoch milliseconds; undefined when a node has it. */
export const unscheduledDue = (pod: V1Pod | undefined, patience: number): number | undefined =>
  pod === undefined || isScheduled(pod) ? undefined : createdAt(pod) + patience;

/** Why no node has taken a Job's pod, in the scheduler's words. */
export function unscheduledReason(pod: V1Pod | undefined): string {
  if (pod === undefined) return 'no pod was made for it: a quota, or admission';
  const condition = pod.status?.conditions?.find((c) => c.type === 'PodScheduled' && c.status === 'False');
  return condition?.message || condition?.reason || 'the scheduler has not looked at it';
}

/** Required: none of the nodes that the Job drains. Preferred: those that the placement names. */
export function jobAffinity(drains: readonly string[], prefers: readonly string[]): V1Affinity {
  const key = 'kubernetes.io/hostname';
  const term = (operator: string, values: readonly string[]) => ({
    matchExpressions: [{ key, operator, values: [...values] }],
  });
  return {
    nodeAffinity: {
      ...(drains.length > 0 && {
        requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: [term('NotIn', drains)] },
      }),
      ...(prefers.length > 0 && {
        preferredDuringSchedulingIgnoredDuringExecution: [{ weight: 100, preference: term('In', prefers) }],
      }),
    },
  };
}
