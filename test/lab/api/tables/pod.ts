import type { Pod } from '../types.ts';
import { age } from './duration.ts';

type Status = NonNullable<NonNullable<Pod['status']>['containerStatuses']>[number];

/** The columns that kubectl prints for a pod. */
export function podCells(pod: Pod): unknown[] {
  const statuses = pod.status?.containerStatuses ?? [];
  const total = pod.spec?.containers.length ?? 0;
  const ready = statuses.filter((s) => s.ready && s.state?.running !== undefined).length;
  return [
    pod.metadata.name,
    `${ready}/${total}`,
    reasonOf(pod, statuses),
    restarts(statuses),
    age(pod.metadata.creationTimestamp),
    pod.status?.podIP ?? '<none>',
    pod.spec?.nodeName ?? '<none>',
    pod.status?.nominatedNodeName ?? '<none>',
    '<none>',
  ];
}

function reasonOf(pod: Pod, statuses: readonly Status[]): string {
  const gated = pod.status?.conditions?.find(
    (c) => c.type === 'PodScheduled' && c.reason === 'SchedulingGated',
  );
  let reason = gated?.reason ?? pod.status?.reason ?? pod.status?.phase ?? 'Unknown';
  for (const status of [...statuses].reverse()) reason = containerReason(status) ?? reason;
  const running = statuses.some((s) => s.ready && s.state?.running !== undefined);
  if (reason === 'Completed' && running) {
    const isReady = pod.status?.conditions?.some((c) => c.type === 'Ready' && c.status === 'True');
    reason = isReady === true ? 'Running' : 'NotReady';
  }
  if (pod.metadata.deletionTimestamp === undefined) return reason;
  if (pod.status?.reason === 'NodeLost') return 'Unknown';
  return pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed' ? reason : 'Terminating';
}

function containerReason({ state }: Status): string | undefined {
  if ((state?.waiting?.reason ?? '') !== '') return state?.waiting?.reason;
  const ended = state?.terminated;
  if (ended === undefined) return undefined;
  if ((ended.reason ?? '') !== '') return ended.reason;
  return (ended.signal ?? 0) === 0 ? `ExitCode:${ended.exitCode}` : `Signal:${ended.signal}`;
}

function restarts(statuses: readonly Status[]): string {
  const count = statuses.reduce((sum, s) => sum + s.restartCount, 0);
  const last = statuses
    .map((s) => s.lastState?.terminated?.finishedAt)
    .filter((t) => t !== undefined)
    .sort()
    .at(-1);
  return count === 0 || last === undefined ? String(count) : `${count} (${age(last)} ago)`;
}
