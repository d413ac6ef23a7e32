import type { V1Pod } from '@kubernetes/client-node';
import { isFinished } from '../cluster/pods.ts';
import { BlockedError } from '../errors.ts';

/** A node that answers takes its pod away soon after the grace period, which ends at the deletion timestamp; milliseconds. */
const patience = 5 * 60_000;

/** A Job whose node went away for good: the pod stays, terminating, and its Job makes no other one before it has gone. */
export function isStranded(pod: V1Pod | undefined): boolean {
  const deleted = pod?.metadata?.deletionTimestamp;
  if (pod === undefined || deleted === undefined || isFinished(pod)) return false;
  return Date.now() - new Date(deleted).getTime() > patience;
}

export const stranded = (namespace: string, job: string, pod: V1Pod | undefined): BlockedError =>
  new BlockedError(`${job} waits for a node that is away`, [why(pod)], { hint: hint(namespace, job) });

/** The same in one line. */
export const strandedText = (namespace: string, job: string, pod: V1Pod | undefined): string =>
  `${job} waits for a node that is away: ${why(pod)}. ${hint(namespace, job)}`;

const why = (pod: V1Pod | undefined): string =>
  `pod ${pod?.metadata?.name} on ${pod?.spec?.nodeName} is being deleted and does not go`;

const hint = (namespace: string, job: string): string =>
  `When that node does not come back: kubectl -n ${namespace} delete job ${job}, then dispatch again.`;
