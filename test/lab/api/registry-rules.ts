import { randomInt } from 'node:crypto';
import type { Resource } from './resources.ts';
import { conflict, invalid, invalidValue, staleVersion } from './status.ts';
import { type Store, same } from './store.ts';
import type { ObjectMeta, OwnerReference, Pod, Stored } from './types.ts';

/** Options of a deletion. */
export interface DeleteOptions {
  /** Checks everything, changes nothing. @default false */
  readonly dryRun?: boolean;
  /** Grace period of a pod. @default that of the pod */
  readonly gracePeriodSeconds?: number | undefined;
  /** `Orphan`, `Background` or `Foreground`. @default Orphan for Jobs, otherwise Background */
  readonly propagationPolicy?: string | undefined;
  /** What the object must have; otherwise the deletion is a conflict. @default none */
  readonly preconditions?: { readonly uid?: string; readonly resourceVersion?: string } | undefined;
}

const suffixLetters = 'bcdfghjklmnpqrstvwxz2456789';
/** Types whose updates require a resourceVersion. */
const conditionalOnly = new Set(['leases', 'poddisruptionbudgets', 'externalsecrets', 'prometheusrules']);
/** Types without `metadata.generation`. */
export const withoutGeneration = new Set(['nodes', 'namespaces', 'services', 'leases', 'persistentvolumes']);

/** Whether the type has the `status` subresource. */
export const hasStatus = (r: Resource): boolean => r.subresources.some((s) => s.name === 'status');

/** A name for `generateName`: the base, cut to 58 characters, and five random ones. */
export function generatedName(base: string): string {
  const suffix = Array.from({ length: 5 }, () => suffixLetters[randomInt(suffixLetters.length)]).join('');
  return `${base.slice(0, 58)}${suffix}`;
}

/** The owner reference that a dependent has to its controller. */
export const controllerRef = (owner: Stored): OwnerReference => ({
  apiVersion: owner.apiVersion,
  kind: owner.kind,
  name: owner.metadata.name,
  uid: owner.metadata.uid,
  controller: true,
  blockOwnerDeletion: true,
});

/** The time this many seconds from now, RFC 3339. */
export const later = (seconds: number): string =>
  new Date(Date.now() + seconds * 1000).toISOString().replace(/\.\d+Z$/, 'Z');

/** Sets the status that a new object of this type starts with. */
export function initialStatus(r: Resource, object: Stored): void {
  if (r.name === 'pods') object.status = { phase: 'Pending', qosClass: 'BestEffort' };
  else if (
    ['jobs', 'cronjobs', 'deployments', 'replicasets', 'statefulsets', 'daemonsets'].includes(r.name)
  ) {
    object.status ??= {};
  }
}

/** Refuses an update that carries a uid when no object has that name. @throws StatusError 409 */
export function checkMeant(
  store: Store,
  r: Resource,
  namespace: string | undefined,
  name: string,
  uid: string | undefined,
): void {
  if ((uid ?? '') === '' || store.get(r.name, namespace, name) !== undefined) return;
  const key = `/registry/${r.name}/${namespace === undefined ? '' : `${namespace}/`}${name}`;
  const why = `Precondition failed: UID in precondition: ${uid}, UID in object meta: `;
  throw conflict(
    r,
    name,
    `StorageError: invalid object, Code: 4, Key: ${key}, ResourceVersion: 0, AdditionalErrorMsg: ${why}`,
  );
}

/**
 * Checks uid and resourceVersion of an update.
 * @throws StatusError 409, 422 when a required version is missing
 */
export function checkVersion(r: Resource, current: Stored, sent: ObjectMeta): void {
  const { name, uid, resourceVersion } = current.metadata;
  if (sent.uid !== undefined && sent.uid !== '' && sent.uid !== uid) {
    throw conflict(
      r,
      name,
      `Precondition failed: UID in precondition: ${sent.uid}, UID in object meta: ${uid}`,
    );
  }
  const version = sent.resourceVersion ?? '';
  if (version === '' && conditionalOnly.has(r.name)) {
    // A real server names the resource instead of the kind in this message.
    const named = { group: r.group, kind: r.name };
    const error = invalidValue('metadata.resourceVersion', 0, 'must be specified for an update');
    throw invalid(named, name, [error]);
  }
  if (version !== '' && version !== resourceVersion) throw staleVersion(r, name);
}

/** Checks the preconditions of a deletion. @throws StatusError 409 */
export function checkPreconditions(
  r: Resource,
  current: Stored,
  wanted: DeleteOptions['preconditions'],
): void {
  const { name, uid, resourceVersion } = current.metadata;
  if (wanted?.uid !== undefined && wanted.uid !== uid) {
    throw conflict(
      r,
      name,
      `the UID in the precondition (${wanted.uid}) does not match the UID in record (${uid}). The object might have been deleted and then recreated`,
    );
  }
  if (wanted?.resourceVersion !== undefined && wanted.resourceVersion !== resourceVersion) {
    throw conflict(
      r,
      name,
      `the ResourceVersion in the precondition (${wanted.resourceVersion}) does not match the ResourceVersion in record (${resourceVersion}). The object might have been modified`,
    );
  }
}

/**
 * The object to store after an update. Fields that the server owns keep their values; an update of the object
 * does not change its status, and an update of the status changes nothing else.
 */
export function merged(r: Resource, current: Stored, sent: Stored, subresource: string): Stored {
  if (subresource === 'status') return { ...structuredClone(current), status: sent.status };
  const kept: Partial<ObjectMeta> = {};
  for (const field of [
    'uid',
    'creationTimestamp',
    'deletionTimestamp',
    'deletionGracePeriodSeconds',
    'generation',
    'resourceVersion',
    'generateName',
  ] as const) {
    if (current.metadata[field] !== undefined) Object.assign(kept, { [field]: current.metadata[field] });
  }
  const { deletionTimestamp: _, deletionGracePeriodSeconds: __, managedFields: ___, ...meta } = sent.metadata;
  const next = { ...sent, metadata: { ...meta, ...kept } } as Stored;
  if (hasStatus(r)) {
    if (current.status === undefined) delete next.status;
    else next.status = structuredClone(current.status);
  }
  if (meta.generation !== undefined || current.metadata.generation !== undefined) {
    const changed = !same(current.spec, next.spec);
    next.metadata.generation = (current.metadata.generation ?? 0) + (changed ? 1 : 0);
  }
  return next;
}

/** Seconds until a deleted object is removed; 0 except for pods that run on a node. */
export function gracePeriod(r: Resource, object: Stored, options: DeleteOptions): number {
  if (r.name !== 'pods') return 0;
  const pod = object as Pod;
  const phase = pod.status?.phase;
  if ((pod.spec?.nodeName ?? '') === '' || phase === 'Succeeded' || phase === 'Failed') return 0;
  return options.gracePeriodSeconds ?? pod.spec?.terminationGracePeriodSeconds ?? 30;
}

/**
 * Adds the finalizer that the deletion policy needs. Does nothing to an object that is already being deleted.
 */
export function addPropagationFinalizer(r: Resource, meta: ObjectMeta, policy: string | undefined): void {
  // Unlike other types, batch/v1 Jobs orphan their pods by default, for compatibility.
  const chosen =
    policy ?? (r.name === 'jobs' || r.name === 'replicationcontrollers' ? 'Orphan' : 'Background');
  const finalizer = { Foreground: 'foregroundDeletion', Orphan: 'orphan' }[chosen];
  if (finalizer === undefined || meta.deletionTimestamp !== undefined) return;
  meta.finalizers = [...new Set([...(meta.finalizers ?? []), finalizer])];
}
