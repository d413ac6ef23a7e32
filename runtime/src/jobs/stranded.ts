import type { V1Pod } from '@kubernetes/client-node';
import { isFinished } from '../cluster/pods.ts';
import { BlockedError } from '../errors.ts';

/**
 * How long after its deletion timestamp, where its grace period ends, a terminating pod counts as stranded;
 * milliseconds. A node that responds removes the pod much sooner.
 */
const strandedAfter = 5 * 60_000;

/**
 * Whether the pod's node is gone for good: the pod stays terminating, and its Job creates no other pod until
 * it is gone.
 */
export function isStranded(pod: V1Pod | undefined): boolean {
  const deleted = pod?.metadata?.deletionTimestamp;
  if (pod === undefined || deleted === undefined || isFinished(pod)) return false;
  return Date.now() - new Date(deleted).getTime() > strandedAfter;
}

/** The error for a stranded Job, with the command to delete it. */
export const stranded = (namespace: string, job: string, pod: V1Pod | undefined): BlockedError =>
  new BlockedError(`${job} is stranded on a node that does not respond`, [why(pod)], {
    hint: hint(namespace, job),
  });

/** The same as one line of text. */
export const strandedText = (namespace: string, job: string, pod: V1Pod | undefined): string =>
  `${job} is stranded on a node that does not respond: ${why(pod)}. ${hint(namespace, job)}`;

const why = (pod: V1Pod | undefined): string =>
  `pod ${pod?.metadata?.name} on ${pod?.spec?.nodeName} is being deleted and does not terminate`;

const hint = (namespace: string, job: string): string =>
  `If that node does not come back: kubectl -n ${namespace} delete job ${job}, then dispatch again.`;
