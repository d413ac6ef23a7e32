import type { V1Container, V1Pod } from '@kubernetes/client-node';
import type { ClusterNode } from './nodes.ts';
import { isMirror } from './pods.ts';

/** The components of Kubernetes that kubeadm runs on every control-plane node, as static pods. */
export const ownComponents = ['kube-apiserver', 'kube-controller-manager', 'kube-scheduler'] as const;

const components = ['etcd', ...ownComponents] as const;

/** A component of kubeadm's control plane. Its container has the same name. */
export type Component = (typeof components)[number];

/**
 * Selects the pods of kubeadm's control plane, and whatever else has that label: only {@link componentOf}
 * decides.
 */
export const controlPlaneSelector = 'tier=control-plane';

/**
 * The component that this pod is: the mirror of the static pod COMPONENT-NODE on its node. Anybody's pod may
 * have kubeadm's labels, and its container the name of a component (F37, F39).
 */
export function componentOf({ metadata, spec, ...pod }: V1Pod): Component | undefined {
  if (metadata?.namespace !== 'kube-system' || !isMirror({ metadata, ...pod }) || !spec?.nodeName)
    return undefined;
  return components.find((component) => metadata.name === `${component}-${spec.nodeName}`);
}

/**
 * Those of the pods that are kubeadm's control plane: on control-plane nodes only.
 *
 * @param wanted @default every component
 */
export function controlPlanePods(
  pods: readonly V1Pod[],
  nodes: readonly Pick<ClusterNode, 'name' | 'controlPlane'>[],
  wanted: readonly Component[] = components,
): V1Pod[] {
  const names = new Set(nodes.filter((node) => node.controlPlane).map((node) => node.name));
  return pods.filter((pod) => {
    const component = componentOf(pod);
    return component !== undefined && wanted.includes(component) && names.has(pod.spec?.nodeName ?? '');
  });
}

/** The container of the component, wherever it stands: a sidecar may be before it (F36). */
export function ownContainer(pod: V1Pod): V1Container | undefined {
  const component = componentOf(pod);
  return component && pod.spec?.containers.find(({ name }) => name === component);
}

/**
 * The values of a flag of a container, as `--FLAG=VALUE` or in two words; for a program of Go also with one
 * dash.
 */
export function flagValues({ command = [], args = [] }: V1Container, flag: string): string[] {
  const words = [...command, ...args];
  return words.flatMap((word, at) => {
    const [, name, value = words[at + 1]] = /^--?([a-z0-9-]+)(?:=(.*))?$/s.exec(word) ?? [];
    return name === flag && value !== undefined ? [value] : [];
  });
}

/** The tag of an image; undefined when it has none, as with a digest alone. */
export function tagOf(image: string): string | undefined {
  const [name = ''] = image.split('@');
  return /:([^:/]+)$/.exec(name)?.[1];
}
