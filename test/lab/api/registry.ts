import { randomUUID } from 'node:crypto';
import {
  addPropagationFinalizer,
  checkMeant,
  checkPreconditions,
  checkVersion,
  type DeleteOptions,
  generatedName,
  gracePeriod,
  hasStatus,
  initialStatus,
  later,
  merged,
  withoutGeneration,
} from './registry-rules.ts';
import { apiVersionOf, type Resource, resourceOf } from './resources.ts';
import { admit } from './rest/admission.ts';
import { checkPolicies } from './rest/admission-policies.ts';
import { applyDefaults } from './rest/defaults.ts';
import { decodable, validate, validateUpdate } from './rest/validate.ts';
import { alreadyExists, badRequest, invalid, notFound, required } from './status.ts';
import { now, type Store } from './store.ts';
import type { KubeObject, Stored } from './types.ts';

/** Options of a write. */
export interface WriteOptions {
  /** Checks everything, stores nothing. @default false */
  readonly dryRun?: boolean;
  /** Refuses unknown fields instead of dropping them. @default false */
  readonly strict?: boolean;
  /** `status`, or empty for the object itself. @default empty */
  readonly subresource?: string;
}

/** Result of a deletion. */
export interface Deleted {
  /** The object as it is now, or was last. */
  readonly object: Stored;
  /** False while a grace period or a finalizer keeps the object. */
  readonly gone: boolean;
}

/** The rules that apply to every write: names, defaults, validation, conflicts, deletion. */
export class Registry {
  readonly store: Store;
  constructor(store: Store) {
    this.store = store;
  }

  /** Creates an object. @throws StatusError 400, 403, 404, 409, 422 */
  create(r: Resource, namespace: string | undefined, input: KubeObject, options: WriteOptions = {}): Stored {
    const object = this.#received(r, namespace, input, options);
    const meta = object.metadata;
    if (meta.name === undefined && (meta.generateName ?? '') !== '')
      meta.name = generatedName(meta.generateName ?? '');
    if (meta.name === undefined)
      throw invalid(r, '', [required('metadata.name', 'name or generateName is required')]);
    meta.uid = randomUUID();
    meta.creationTimestamp = now();
    for (const field of [
      'resourceVersion',
      'deletionTimestamp',
      'deletionGracePeriodSeconds',
      'managedFields',
    ] as const) {
      delete meta[field];
    }
    if (!withoutGeneration.has(r.name) && object.spec !== undefined) meta.generation = 1;
    if (hasStatus(r) && r.name !== 'nodes') delete object.status;
    admit(this.store, r, object);
    applyDefaults(r, object);
    initialStatus(r, object);
    validate(r, object);
    checkPolicies(this.store, r, object);
    const exists = this.store.get(r.name, meta.namespace, meta.name) !== undefined;
    if (exists) throw alreadyExists(r, meta.name);
    return options.dryRun === true ? object : (this.store.create(r.name, object) as Stored);
  }

  /** Replaces the object, or only its status. @throws StatusError 404, 409, 422 */
  update(
    r: Resource,
    namespace: string | undefined,
    name: string,
    input: KubeObject,
    options: WriteOptions = {},
  ): Stored {
    const sent = this.#received(r, namespace, input, options);
    checkMeant(this.store, r, namespace, name, sent.metadata.uid);
    // Kubernetes creates a Lease on an update when there is none.
    if (r.name === 'leases' && this.store.get(r.name, namespace, name) === undefined)
      return this.create(r, namespace, { ...input, metadata: { ...sent.metadata, name } }, options);
    const current = this.#existing(r, namespace, name);
    if (sent.metadata.name === undefined || sent.metadata.name === '') sent.metadata.name = name;
    if (sent.metadata.name !== name) {
      throw badRequest(
        `the name of the object (${sent.metadata.name}) does not match the name on the URL (${name})`,
      );
    }
    checkVersion(r, current, sent.metadata);
    const next = merged(r, current, sent, options.subresource ?? '');
    if (options.subresource === undefined || options.subresource === '') applyDefaults(r, next);
    validateUpdate(r, current, next);
    if (options.dryRun === true) return next;
    return this.#finished(next) ? this.#remove(r, next) : (this.store.replace(r.name, next) as Stored);
  }

  /** Deletes the object, or starts its grace period; may be called again. @throws StatusError 404, 409 */
  delete(r: Resource, namespace: string | undefined, name: string, options: DeleteOptions = {}): Deleted {
    const current = this.#existing(r, namespace, name);
    checkPreconditions(r, current, options.preconditions);
    if (options.dryRun === true) return { object: current, gone: gracePeriod(r, current, options) === 0 };
    const next = structuredClone(current);
    const meta = next.metadata;
    const grace = gracePeriod(r, current, options);
    const previous = meta.deletionGracePeriodSeconds ?? Number.POSITIVE_INFINITY;
    addPropagationFinalizer(r, meta, options.propagationPolicy);
    if (meta.deletionTimestamp === undefined || grace < previous) {
      meta.deletionTimestamp = later(grace);
      meta.deletionGracePeriodSeconds = grace;
    }
    if (r.name === 'namespaces') next.status = { ...(next.status as object), phase: 'Terminating' };
    if (this.#finished(next)) return { object: this.#remove(r, next), gone: true };
    return { object: this.store.replace(r.name, next) as Stored, gone: false };
  }

  /** Like a create, but keeps the status and replaces an existing object. @throws StatusError */
  seed(input: KubeObject): Stored {
    const r = resourceOf(input);
    const object = decodable(r, structuredClone(input) as Stored, true);
    object.metadata ??= {} as Stored['metadata'];
    if (r.namespaced) object.metadata.namespace ??= 'default';
    const existing = this.store.get(r.name, object.metadata.namespace, object.metadata.name) as
      | Stored
      | undefined;
    object.metadata.uid = existing?.metadata.uid ?? object.metadata.uid ?? randomUUID();
    object.metadata.creationTimestamp ??= existing?.metadata.creationTimestamp ?? now();
    if (!withoutGeneration.has(r.name) && object.spec !== undefined) object.metadata.generation ??= 1;
    admit(this.store, r, object);
    applyDefaults(r, object);
    if (object.status === undefined) initialStatus(r, object);
    validate(r, object);
    if (existing === undefined) {
      checkPolicies(this.store, r, object);
      return this.store.create(r.name, object) as Stored;
    }
    return this.store.replace(r.name, {
      ...object,
      metadata: { ...existing.metadata, ...object.metadata },
    }) as Stored;
  }

  #existing(r: Resource, namespace: string | undefined, name: string): Stored {
    const found = this.store.get(r.name, namespace, name) as Stored | undefined;
    if (found === undefined) throw notFound(r, name);
    return found;
  }

  /** A copy of the input with apiVersion, kind and namespace of the URL. */
  #received(
    r: Resource,
    namespace: string | undefined,
    input: KubeObject,
    { strict = false }: WriteOptions,
  ): Stored {
    const object = decodable(r, structuredClone(input) as Stored, strict);
    object.metadata ??= {} as Stored['metadata'];
    const expected = apiVersionOf(r);
    const otherEvents = r.name === 'events' && (object.apiVersion ?? '').endsWith('v1');
    if (object.apiVersion !== undefined && object.apiVersion !== expected && !otherEvents) {
      throw badRequest(
        `the API version in the data (${object.apiVersion}) does not match the expected API version (${expected})`,
      );
    }
    if (object.kind !== undefined && object.kind !== r.kind) {
      throw badRequest(
        `${object.kind} in version "${r.version}" cannot be handled as a ${r.kind}: converting (${object.kind}) to (${r.kind}): unknown conversion`,
      );
    }
    object.apiVersion = expected;
    object.kind = r.kind;
    if (!r.namespaced) delete object.metadata.namespace;
    else if ((object.metadata.namespace ?? namespace) !== namespace) {
      throw badRequest(
        'the namespace of the provided object does not match the namespace sent on the request',
      );
    } else if (namespace !== undefined) object.metadata.namespace = namespace;
    return object;
  }

  #finished({ metadata: meta, spec }: Stored): boolean {
    if (meta.deletionTimestamp === undefined || (meta.finalizers ?? []).length > 0) return false;
    const own = (spec as { finalizers?: string[] } | undefined)?.finalizers ?? [];
    return own.length === 0 && (meta.deletionGracePeriodSeconds ?? 0) === 0;
  }

  #remove(r: Resource, last: Stored): Stored {
    const { namespace, name } = last.metadata;
    this.store.replace(r.name, last);
    return (this.store.remove(r.name, namespace, name) as Stored | undefined) ?? last;
  }
}
