import type { V1Job, V1Pod } from '@kubernetes/client-node';
import type { KubernetesClient } from '../cluster/client.ts';
import { type Holder, readHolder } from '../cluster/lease.ts';
import { isActive, listJobs, newestPods, unscheduledDue, unscheduledReason } from './job.ts';
import { isStranded, strandedText } from './stranded.ts';
import { unscheduledText } from './unscheduled.ts';

/** The run in progress, if any, according to the lease, the Jobs and their pods. */
export interface RunInProgress extends HolderAndJobs {
  /** The newest Job that has not ended. */
  readonly active: ActiveJob | undefined;
}

/** The same without reading pods. */
export interface HolderAndJobs {
  /** The executor that holds the lease; undefined when none does or the lease has expired. */
  readonly holder: Holder | undefined;
  /** The Jobs of all runs, newest first. */
  readonly jobs: readonly V1Job[];
}

/** A Job that has not ended. */
export interface ActiveJob {
  /** Name of the Job. */
  readonly name: string;
  /** The Job as read. */
  readonly job: V1Job;
  /** Its newest pod; undefined while it has none. */
  readonly pod: V1Pod | undefined;
}

/** Reads the lease, the Jobs of all runs and their pods. */
export async function readRunInProgress(client: KubernetesClient, namespace: string): Promise<RunInProgress> {
  const [known, pods] = await Promise.all([
    readHolderAndJobs(client, namespace),
    newestPods(client, namespace),
  ]);
  const job = known.jobs.find(isActive);
  const name = job?.metadata?.name ?? '';
  return { ...known, active: job && { name, job, pod: pods.get(name) } };
}

/** Reads the lease and the Jobs of all runs. */
export async function readHolderAndJobs(client: KubernetesClient, namespace: string): Promise<HolderAndJobs> {
  const [holder, jobs] = await Promise.all([readHolder(client, namespace), listJobs(client, namespace)]);
  return { holder: holder?.expired ? undefined : holder, jobs };
}

/** Describes the run in progress; undefined when there is none. */
export function describeRunInProgress({ holder, active }: RunInProgress): string | undefined {
  if (holder) return `${holder.identity} has been running since ${holder.since}`;
  return active && `Job ${active.name} has not ended`;
}

/** Whether the active Job is stranded: its node is gone for good, and no executor holds the lease. */
export const hasStrandedJob = ({ holder, active }: RunInProgress): boolean =>
  holder === undefined && isStranded(active?.pod);

/**
 * Why the active Job's pod does not run and needs somebody to act: it has been unscheduled for too long, or
 * it is stranded. Undefined otherwise.
 *
 * @param unschedulable how long a pod may wait for a node before it is reported, milliseconds.
 */
export function describeStuckPod(
  inProgress: RunInProgress,
  namespace: string,
  unschedulable: number,
): string | undefined {
  const { active } = inProgress;
  if (active === undefined) return undefined;
  const due = unscheduledDue(active.pod, unschedulable);
  if (due !== undefined && Date.now() >= due)
    return unscheduledText(namespace, active.name, unscheduledReason(active.pod));
  return hasStrandedJob(inProgress) ? strandedText(namespace, active.name, active.pod) : undefined;
}

/**
 * The active Job if it has no pod. That may last a moment, or be permanent, for example because of a quota.
 */
export const podlessJob = ({ holder, active }: RunInProgress): string | undefined =>
  active && !active.job.spec?.suspend && active.pod === undefined && holder === undefined
    ? active.name
    : undefined;
