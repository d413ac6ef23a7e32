import type { V1Job, V1Pod } from '@kubernetes/client-node';
import type { KubernetesClient } from '../cluster/client.ts';
import { type Holder, readHolder } from '../cluster/lease.ts';
import { isActive, listJobs, newestPods, unscheduledDue, unscheduledReason } from './job.ts';
import { isStranded, strandedText } from './stranded.ts';
import { unscheduledText } from './unscheduled.ts';

/** Who is at work on a rollout, as the lease and the Jobs say. */
export interface AtWork extends Work {
  /** The Job that should be at it: it has not ended. */
  readonly active: ActiveJob | undefined;
}

/** As far as it can be told without pods. */
export interface Work {
  /** The executor that holds the lease; undefined when none does, or its time is over. */
  readonly holder: Holder | undefined;
  /** The Jobs of all runs, newest first. */
  readonly jobs: readonly V1Job[];
}

export interface ActiveJob {
  readonly name: string;
  readonly job: V1Job;
  /** Its newest pod. */
  readonly pod: V1Pod | undefined;
}

export async function readAtWork(client: KubernetesClient, namespace: string): Promise<AtWork> {
  const [work, pods] = await Promise.all([readWork(client, namespace), newestPods(client, namespace)]);
  const job = work.jobs.find(isActive);
  const name = job?.metadata?.name ?? '';
  return { ...work, active: job && { name, job, pod: pods.get(name) } };
}

export async function readWork(client: KubernetesClient, namespace: string): Promise<Work> {
  const [holder, jobs] = await Promise.all([readHolder(client, namespace), listJobs(client, namespace)]);
  return { holder: holder?.expired ? undefined : holder, jobs };
}

/** Who is at it right now, in words; undefined when nobody is. */
export function describeAtWork({ holder, active }: AtWork): string | undefined {
  if (holder) return `${holder.identity} has been at work since ${holder.since}`;
  return active && `Job ${active.name} has not ended`;
}

/** The Job's node is gone for good, and no executor is alive. */
export const hasStrandedJob = ({ holder, active }: AtWork): boolean =>
  holder === undefined && isStranded(active?.pod);

/**
 * Why the Job that should be at it is not: no node takes it, or its node is gone, and that does not pass by itself.
 *
 * @param unschedulable after this, a pod that no node takes is reported, milliseconds.
 */
export function whyNotRunning(atWork: AtWork, namespace: string, unschedulable: number): string | undefined {
  const { active } = atWork;
  if (active === undefined) return undefined;
  const due = unscheduledDue(active.pod, unschedulable);
  if (due !== undefined && Date.now() >= due)
    return unscheduledText(namespace, active.name, unscheduledReason(active.pod));
  return hasStrandedJob(atWork) ? strandedText(namespace, active.name, active.pod) : undefined;
}

/** The Job that has no pod: there may be none for a moment, or somebody keeps it from being made. */
export const podlessJob = ({ holder, active }: AtWork): string | undefined =>
  active && !active.job.spec?.suspend && active.pod === undefined && holder === undefined
    ? active.name
    : undefined;
