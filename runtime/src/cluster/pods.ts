import type { V1Pod } from '@kubernetes/client-node';

/** `namespace/name` */
export const podName = (pod: V1Pod): string => `${pod.metadata?.namespace}/${pod.metadata?.name}`;

/** Its containers have ended and are not restarted. */
export const isFinished = (pod: V1Pod): boolean =>
  pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed';

/** Whether this is the mirror of a static pod, which the kubelet runs from a file. */
export const isMirror = (pod: V1Pod): boolean =>
  'kubernetes.io/config.mirror' in (pod.metadata?.annotations ?? {});

/** The name of the DaemonSet that controls the pod; undefined for any other owner. */
export function controllingDaemonSet(pod: V1Pod): string | undefined {
  const controller = pod.metadata?.ownerReferences?.find((ref) => ref.controller === true);
  return controller?.kind === 'DaemonSet' ? controller.name : undefined;
}

/** Its condition Ready is True. */
export const isPodReady = (pod: V1Pod): boolean =>
  pod.status?.conditions?.some((c) => c.type === 'Ready' && c.status === 'True') ?? false;
