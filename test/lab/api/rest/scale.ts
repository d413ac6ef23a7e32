import type { Registry, WriteOptions } from '../registry.ts';
import type { Resource } from '../resources.ts';
import { matchesSelector } from '../selectors.ts';
import { notFound } from '../status.ts';
import type { Deployment, KubeObject, Stored } from '../types.ts';

/** The `autoscaling/v1` Scale of a workload. @throws StatusError 404 */
export function scaleOf(
  registry: Registry,
  r: Resource,
  namespace: string | undefined,
  name: string,
): Stored {
  const object = registry.store.get(r.name, namespace, name) as Deployment | undefined;
  if (object === undefined) throw notFound(r, name);
  const { uid, resourceVersion, creationTimestamp } = object.metadata;
  const selector = object.spec?.selector;
  const pods = registry.store.list('pods', namespace);
  return {
    apiVersion: 'autoscaling/v1',
    kind: 'Scale',
    metadata: {
      name,
      ...(namespace === undefined ? {} : { namespace }),
      uid,
      resourceVersion,
      creationTimestamp,
    },
    spec: { replicas: object.spec?.replicas ?? 1 },
    status: {
      replicas: pods.filter((p) => matchesSelector(selector, p.metadata.labels)).length,
      selector: Object.entries(selector?.matchLabels ?? {})
        .map(([k, v]) => `${k}=${v}`)
        .join(','),
    },
  };
}

/** Sets the number of replicas and returns the new Scale. @throws StatusError 404, 409 */
export function setScale(
  registry: Registry,
  r: Resource,
  namespace: string | undefined,
  name: string,
  scale: KubeObject,
  options: WriteOptions,
): Stored {
  const object = registry.store.get(r.name, namespace, name) as Stored | undefined;
  if (object === undefined) throw notFound(r, name);
  const replicas = (scale.spec as { replicas?: number } | undefined)?.replicas ?? 0;
  const next = { ...object, spec: { ...(object.spec as object), replicas } };
  const version = scale.metadata?.resourceVersion;
  next.metadata = {
    ...object.metadata,
    ...(version === undefined || version === '' ? {} : { resourceVersion: version }),
  };
  registry.update(r, namespace, name, next, { dryRun: options.dryRun === true });
  const result = structuredClone(scaleOf(registry, r, namespace, name));
  result.spec = { replicas };
  return result;
}
