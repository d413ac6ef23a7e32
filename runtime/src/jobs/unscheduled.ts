import type { KubernetesClient } from '../cluster/client.ts';
import { BlockedError } from '../errors.ts';
import { pause, within } from '../wait.ts';
import { isScheduled, newestPod, podsOfJob, unscheduledReason } from './job.ts';

/** How to wait for a Job to be scheduled. */
export interface ScheduleOptions {
  /** Reads the pods of the Job. */
  readonly client: KubernetesClient;
  /** Namespace of the Job. */
  readonly namespace: string;
  /** How long to wait, milliseconds. */
  readonly unschedulable: number;
  /** Aborting it rejects with the signal's reason. */
  readonly signal: AbortSignal;
}

/**
 * Waits until the pod of a new Job is scheduled. Polls, because a watch would need one more permission for
 * what usually takes a moment.
 *
 * @returns undefined once it is scheduled; at the time limit, why it is not, in the scheduler's words.
 */
export async function waitUntilScheduled(options: ScheduleOptions, job: string): Promise<string | undefined> {
  const { client, namespace, unschedulable, signal } = options;
  const wait = within(unschedulable, signal);
  const labelSelector = podsOfJob(job);
  for (;;) {
    const { items } = await client.call(`list the pods of ${job}`, () =>
      client.core.listNamespacedPod({ namespace, labelSelector }),
    );
    const pod = newestPod(items);
    if (pod !== undefined && isScheduled(pod)) return undefined;
    if (Date.now() >= wait.deadline) return unscheduledReason(pod);
    await pause(250, wait);
  }
}

/** The same. @throws BlockedError with the scheduler's reason when the Job is not scheduled in time (F4). */
export async function assertScheduled(options: ScheduleOptions, job: string): Promise<void> {
  const reason = await waitUntilScheduled(options, job);
  if (reason !== undefined) throw unscheduled(options.namespace, job, reason);
}

/** The error for an unscheduled Job, with the command to delete it. */
export const unscheduled = (namespace: string, job: string, reason: string): BlockedError =>
  new BlockedError(`${job} is not scheduled`, [reason], { hint: hint(namespace, job) });

/** The same as one line of text. */
export const unscheduledText = (namespace: string, job: string, reason: string): string =>
  `${job} is not scheduled: ${reason.replace(/\.?$/, '.')} ${hint(namespace, job)}`;

const hint = (namespace: string, job: string): string =>
  `It starts by itself once a node can run it. Or delete it (kubectl -n ${namespace} delete job ${job}), fix the cause, and submit again.`;
