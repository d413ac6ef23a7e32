import type { V1Pod } from '@kubernetes/client-node';
import { timeOf } from './nodes.ts';
import { isFinished, isMirror, isPodReady, podName } from './pods.ts';

/**
 * Whether the pod should be Ready and is not. A pod that is finished or being deleted should not; one of a
 * Job, which may have a container that has ended, need only run.
 */
export function isUnready(pod: V1Pod): boolean {
  if (isFinished(pod) || isPodReady(pod) || pod.metadata?.deletionTimestamp !== undefined) return false;
  const restarts = pod.spec?.restartPolicy ?? 'Always';
  return restarts === 'Always' || pod.status?.phase !== 'Running';
}

/** Since when the pod is not Ready, epoch milliseconds. */
export function unreadySince({ metadata, status }: V1Pod): number {
  const condition = status?.conditions?.find(({ type }) => type === 'Ready');
  return timeOf(condition?.lastTransitionTime) ?? timeOf(metadata?.creationTimestamp) ?? 0;
}

/**
 * What recreates the pod, `namespace/kind/name`, by a name that outlives the pod: of a Deployment rather than
 * its ReplicaSet, of a CronJob rather than its Job.
 */
export function workloadOf(pod: V1Pod): string {
  const { namespace, labels, ownerReferences } = pod.metadata ?? {};
  const owner = ownerReferences?.find(({ controller }) => controller === true);
  if (owner === undefined || isMirror(pod)) return `${namespace}/Pod/${pod.metadata?.name}`;
  const hash = labels?.['pod-template-hash'];
  if (owner.kind === 'ReplicaSet' && hash !== undefined && owner.name.endsWith(`-${hash}`))
    return `${namespace}/Deployment/${owner.name.slice(0, -hash.length - 1)}`;
  const name = owner.kind === 'Job' ? owner.name.replace(/-\d+$/, '') : owner.name;
  return `${namespace}/${owner.kind}/${name}`;
}

/** `apps/web-1 (ImagePullBackOff)`: its name and what keeps it, as kubectl shows it. */
export function describeUnready(pod: V1Pod): string {
  const { phase, containerStatuses = [], initContainerStatuses = [] } = pod.status ?? {};
  const waiting = [...initContainerStatuses, ...containerStatuses].find(({ state }) => state?.waiting);
  return `${podName(pod)} (${waiting?.state?.waiting?.reason ?? (phase === 'Running' ? 'not Ready' : phase)})`;
}

/** At most five of them, and how many more there are. */
export function someOf(texts: readonly string[]): string {
  const more = texts.length - 5;
  return `${texts.slice(0, 5).join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
}
