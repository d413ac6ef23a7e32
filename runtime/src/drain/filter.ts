import type { V1Pod } from '@kubernetes/client-node';
import { controllingDaemonSet, isFinished, isMirror } from '../cluster/pods.ts';

/** What a drain does with one pod. `refuse` stops the drain of the node before its first eviction. */
export type PodVerdict = { readonly action: 'evict' | 'skip' | 'refuse'; readonly why: string };

/**
 * Applies the filters of `kubectl drain --ignore-daemonsets --delete-emptydir-data --force`, in its order
 * (k8s.io/kubectl/pkg/drain/filters.go). An emptyDir or a missing controller does not stop it.
 *
 * @param daemonSet whether the pod's DaemonSet exists; an Error when it could not be read.
 */
export function judgePod(pod: V1Pod, daemonSet: boolean | Error): PodVerdict {
  if (controllingDaemonSet(pod) !== undefined && !isFinished(pod)) {
    if (daemonSet instanceof Error) return { action: 'refuse', why: daemonSet.message };
    if (daemonSet) return { action: 'skip', why: 'managed by a DaemonSet' };
  }
  if (isMirror(pod)) return { action: 'skip', why: 'static pod' };
  return { action: 'evict', why: isFinished(pod) ? 'finished' : 'running' };
}
