import { randomBytes } from 'node:crypto';
import type { V1Affinity, V1CronJob, V1Job, V1Pod } from '@kubernetes/client-node';
import { isNotFound } from '../cluster/api-error.ts';
import type { KubernetesClient } from '../cluster/client.ts';
import { isFinished } from '../cluster/pods.ts';
import { UpgradeError } from '../errors.ts';
import { jobLabels, objectNames } from '../names.ts';

/** What distinguishes one Job of a run from the template. */
export interface JobSpec {
  /** The same on every Job of a run; a label value. */
  readonly runId: string;
  /** 1, 2, … */
  readonly jobNumber: number;
  /** Appended to the template's arguments. */
  readonly args: readonly string[];
  /** Added to the template's affinity. */
  readonly affinity: V1Affinity;
}

/**
 * Builds the Job that `kubectl create job --from=cronjob/k8s-version-upgrade` would create, with its own
 * arguments and placement. Its name is random, so that a failed Job never blocks the next one (F6), and
 * chosen here, so that a retried creation recognizes its own Job.
 *
 * @throws UpgradeError when the template has no container.
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

/**
 * Reads the template of the Jobs.
 *
 * @throws UpgradeError when the pipeline is not deployed in this namespace.
 */
export async function readExecutionCronJob(client: KubernetesClient, namespace: string): Promise<V1CronJob> {
  const name = objectNames.executionCronJob;
  const found = await readCronJob(client, namespace, name);
  if (found !== undefined) return found;
  throw new UpgradeError('blocked', `CronJob ${namespace}/${name} does not exist`, {
    hint: 'Deploy the pipeline, or run from outside the cluster: k8s-upgrade run --kubeconfig …',
  });
}

/** Reads a CronJob; undefined when it does not exist. */
export async function readCronJob(
  client: KubernetesClient,
  namespace: string,
  name: string,
): Promise<V1CronJob | undefined> {
  try {
    return await client.call(`read CronJob ${name}`, () =>
      client.batch.readNamespacedCronJob({ name, namespace }),
    );
  } catch (error) {
    if (isNotFound(error)) return undefined;
    throw error;
  }
}

/** Lists the Jobs, newest first. @param runId only those of this run; all when undefined. */
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

/** The Job's number in its run; 0 without the label. */
export const jobNumberOf = (job: V1Job): number => Number(job.metadata?.labels?.[jobLabels.number] ?? 0);
/** The id of the Job's run; empty without the label. */
export const runOf = (job: V1Job): string => job.metadata?.labels?.[jobLabels.run] ?? '';

const hasCondition = (job: V1Job, type: string) =>
  job.status?.conditions?.some((c) => c.type === type && c.status === 'True') ?? false;

/** Whether the Job has not ended. */
export const isActive = (job: V1Job): boolean =>
  !hasCondition(job, 'Complete') && !hasCondition(job, 'Failed');
/** Whether the Job has ended as failed. */
export const hasFailed = (job: V1Job): boolean => hasCondition(job, 'Failed');

/** Epoch milliseconds; now for an object that has not been created. */
export const createdAt = ({ metadata }: V1Pod | V1Job): number =>
  new Date(metadata?.creationTimestamp ?? Date.now()).getTime();

const jobNameLabel = 'batch.kubernetes.io/job-name';
/** Label selector for the pods of one Job. */
export const podsOfJob = (job: string): string => `${jobNameLabel}=${job}`;

/** The newest pod of each Job, by the name of its Job. */
export async function newestPods(client: KubernetesClient, namespace: string): Promise<Map<string, V1Pod>> {
  const { items } = await client.call('list the pods of runs', () =>
    client.core.listNamespacedPod({ namespace, labelSelector: jobLabels.run }),
  );
  return new Map(oldestFirst(items).map((pod) => [jobOf(pod), pod]));
}

/** The name of the Job that created the pod; empty without the label. */
export const jobOf = (pod: V1Pod): string => pod.metadata?.labels?.[jobNameLabel] ?? '';

/** Sorts pods by age. The API lists them by name, and the names of a Job's pods end in random letters. */
export const oldestFirst = (pods: readonly V1Pod[]): V1Pod[] =>
  [...pods].sort((a, b) => createdAt(a) - createdAt(b));

/** The newest pod; undefined when there is none. */
export const newestPod = (pods: readonly V1Pod[]): V1Pod | undefined => oldestFirst(pods).at(-1);

/** Whether a node has been assigned to the pod, or it has ended. */
export const isScheduled = (pod: V1Pod): boolean => pod.spec?.nodeName !== undefined || isFinished(pod);

/** When an unscheduled pod has to be reported, epoch milliseconds; undefined for any other pod. */
export const unscheduledDue = (pod: V1Pod | undefined, patience: number): number | undefined =>
  pod === undefined || isScheduled(pod) ? undefined : createdAt(pod) + patience;

/** Why a Job's pod is not scheduled, in the scheduler's words. */
export function unscheduledReason(pod: V1Pod | undefined): string {
  if (pod === undefined) return 'no pod was created for it; check quotas and admission';
  const condition = pod.status?.conditions?.find((c) => c.type === 'PodScheduled' && c.status === 'False');
  return condition?.message || condition?.reason || 'the scheduler has not processed it';
}

/** Excludes the nodes that the Job drains and prefers the given ones, by `kubernetes.io/hostname`. */
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
