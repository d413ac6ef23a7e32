import type { KubernetesClient } from '../cluster/client.ts';
import { BlockedError } from '../errors.ts';
import { pause, within } from '../wait.ts';
import { isScheduled, newestPod, podsOfJob, unscheduledReason } from './job.ts';

export interface ScheduleOptions {
  readonly client: KubernetesClient;
  readonly namespace: string;
  /** After this, a Job that no node takes is reported, milliseconds. */
  readonly unschedulable: number;
  readonly signal: AbortSignal;
}

/**
 * Waits until a node has taken the pod of a Job that was just made. Asks again and again: a watch would be one more permission
 * for what usually takes a moment.
 *
 * @returns undefined when one has; at the time limit, why none did, in the scheduler's words.
 */
export async function whyUnscheduled(options: ScheduleOptions, job: string): Promise<string | undefined> {
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

/** @throws BlockedError with the scheduler's reason when no node takes the Job in time (F4). */
export async function assertScheduled(options: ScheduleOptions, job: string): Promise<void> {
  const reason = await whyUnscheduled(options, job);
  if (reason !== undefined) throw unscheduled(options.namespace, job, reason);
}

export const unscheduled = (namespace: string, job: string, reason: string): BlockedError =>
  new BlockedError(`no node takes ${job}`, [reason], { hint: hint(namespace, job) });

/** The same in one line. */
export const unscheduledText = (namespace: string, job: string, reason: string): string =>
  `no node takes ${job}: ${reason} ${hint(namespace, job)}`;

const hint = (namespace: string, job: string): string =>
  `It continues by itself once a node takes it. Or remove it (kubectl -n ${namespace} delete job ${job}), fix the cause, and submit again.`;
