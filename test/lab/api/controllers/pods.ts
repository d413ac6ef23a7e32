import { createHash } from 'node:crypto';
import type { Registry } from '../registry.ts';
import { controllerRef } from '../registry-rules.ts';
import { resourceNamed } from '../resources.ts';
import type { Pod, PodSpec, PodTemplate, Stored } from '../types.ts';

export const isReady = (pod: Pod): boolean =>
  pod.status?.conditions?.some((c) => c.type === 'Ready' && c.status === 'True') === true;

export const isFinished = (pod: Pod): boolean =>
  pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed';

/** Neither finished nor being deleted. */
export const isActive = (pod: Pod): boolean =>
  !isFinished(pod) && pod.metadata.deletionTimestamp === undefined;

/** A hash that differs between versions of a pod template. */
export const templateHash = (template: PodTemplate): string =>
  createHash('sha256').update(JSON.stringify(template)).digest('hex').slice(0, 10);

/** The pods that an object controls. */
export function podsOf(registry: Registry, owner: Stored): Pod[] {
  return registry.store
    .list('pods', owner.metadata.namespace)
    .filter((p) =>
      p.metadata.ownerReferences?.some((o) => o.controller === true && o.uid === owner.metadata.uid),
    );
}

interface PodShape {
  /** The exact name. @default generated from the owner's name */
  readonly name?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly spec?: (spec: PodSpec) => void;
}

/** Creates a pod from the template, controlled by `owner`. @throws StatusError */
export function createPod(
  registry: Registry,
  owner: Stored,
  template: PodTemplate,
  shape: PodShape = {},
): Pod {
  const spec = structuredClone(template.spec) as PodSpec;
  shape.spec?.(spec);
  const { labels, annotations, finalizers } = template.metadata ?? {};
  return registry.create(resourceNamed('pods'), owner.metadata.namespace, {
    metadata: {
      ...(shape.name === undefined ? { generateName: `${owner.metadata.name}-` } : { name: shape.name }),
      labels: { ...labels, ...shape.labels },
      ...(annotations === undefined ? {} : { annotations: { ...annotations } }),
      ...(finalizers === undefined ? {} : { finalizers: [...finalizers] }),
      ownerReferences: [controllerRef(owner)],
    },
    spec,
  }) as Pod;
}

/** Deletes the pod with its grace period. @throws StatusError 404 when it is gone */
export function deletePod(registry: Registry, { metadata }: Pod): void {
  registry.delete(resourceNamed('pods'), metadata.namespace, metadata.name);
}
