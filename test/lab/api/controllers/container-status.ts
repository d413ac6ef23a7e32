import { randomUUID } from 'node:crypto';
import type { Exit } from '../pods/runner.ts';
import { now } from '../store.ts';
import type { Container, PodStatus } from '../types.ts';
import { withCondition } from './kit.ts';

export type ContainerStatus = NonNullable<PodStatus['containerStatuses']>[number];

/** The exit of a container that is not a process: code 0, now. */
export const completed = (): Exit => ({ code: 0, reason: 'Completed', startedAt: now() });

const containerId = (): string => `containerd://${randomUUID().replaceAll('-', '').repeat(2)}`;

export function runningStatus({ name, image = '' }: Container, restartCount: number): ContainerStatus {
  const state = { running: { startedAt: now() } };
  return {
    name,
    image,
    imageID: image,
    containerID: containerId(),
    ready: true,
    started: true,
    restartCount,
    state,
    lastState: {},
  };
}

export function endedStatus(
  { name, image = '' }: Container,
  restartCount: number,
  exit: Exit,
): ContainerStatus {
  const containerID = containerId();
  const terminated = {
    exitCode: exit.code,
    reason: exit.reason,
    startedAt: exit.startedAt,
    finishedAt: now(),
    containerID,
    ...(exit.message !== undefined && { message: exit.message }),
  };
  return {
    name,
    image,
    imageID: image,
    containerID,
    ready: false,
    started: false,
    restartCount,
    state: { terminated },
    lastState: {},
  };
}

/** Replaces the statuses of the same container name and appends the others. */
export function mergeStatuses(
  old: readonly ContainerStatus[] | undefined,
  next: readonly ContainerStatus[],
): ContainerStatus[] {
  return [...(old ?? []).filter((o) => !next.some((n) => n.name === o.name)), ...next];
}

/** Sets the pod's conditions about readiness. */
export function setReady(status: PodStatus, ready: boolean, reason?: string): void {
  const value = ready ? 'True' : 'False';
  const why = reason === undefined ? {} : { reason };
  const states: [string, string, object][] = [
    ['PodReadyToStartContainers', value, {}],
    ['Initialized', 'True', why],
    ['Ready', value, why],
    ['ContainersReady', value, why],
  ];
  for (const [type, state, extra] of states) {
    status.conditions = withCondition(status.conditions, { type, status: state, ...extra }) as never;
  }
}
