import { resourceNamed } from '../resources.ts';
import type { Node, Stored, Taint } from '../types.ts';
import type { Kit } from './kit.ts';

/** Namespaces, garbage collection and the taint of cordoned nodes. Returns a function that stops it. */
export function startHousekeeping(kit: Kit, caPem: string): () => void {
  const empty = kit.queue((namespace) => emptyNamespace(kit, namespace));
  const deleted = (object: Stored) => {
    const { namespace } = object.metadata;
    if (namespace !== undefined && isTerminating(kit, namespace)) empty(namespace);
    kit.later(kit.timings.reconcile, () => {
      deleteDependents(kit, object);
      for (const owner of foregroundOwners(kit, object)) finalize(kit, ...owner);
    });
  };
  return kit.store.subscribe(({ resource, object, type }) => {
    kit.guard(() => {
      const { name, deletionTimestamp } = object.metadata;
      if (resource === 'nodes' && type !== 'DELETED') taintCordoned(kit, object as Node);
      if (resource === 'namespaces' && type === 'ADDED') fillNamespace(kit, name, caPem);
      if (resource === 'namespaces' && type === 'MODIFIED' && deletionTimestamp !== undefined) empty(name);
      if (type === 'DELETED') deleted(object);
      else if (deletionTimestamp !== undefined) finalize(kit, resource, object);
    });
  });
}

const isTerminating = (kit: Kit, namespace: string): boolean =>
  kit.store.get('namespaces', undefined, namespace)?.metadata.deletionTimestamp !== undefined;

/** The owners of an object that are in foreground deletion, waiting for their dependents to be removed. */
function foregroundOwners(kit: Kit, { metadata }: Stored): [string, Stored][] {
  const uids = new Set((metadata.ownerReferences ?? []).map((r) => r.uid));
  if (uids.size === 0) return [];
  return everything(kit).filter(
    ([, o]) => uids.has(o.metadata.uid) && o.metadata.finalizers?.includes('foregroundDeletion') === true,
  );
}

const everything = (kit: Kit): [string, Stored][] =>
  kit.store
    .resources()
    .flatMap((name) => (kit.store.list(name) as Stored[]).map((o): [string, Stored] => [name, o]));

const cordonTaint = 'node.kubernetes.io/unschedulable';

function taintCordoned(kit: Kit, node: Node): void {
  const cordoned = node.spec?.unschedulable === true;
  const tainted = node.spec?.taints?.some((t) => t.key === cordonTaint) === true;
  if (cordoned === tainted) return;
  kit.later(kit.timings.reconcile, () => {
    kit.store.modify('nodes', undefined, node.metadata.name, (n) => {
      const others = (n.spec?.taints ?? []).filter((t) => t.key !== cordonTaint);
      const own: Taint = { key: cordonTaint, effect: 'NoSchedule', timeAdded: new Date().toISOString() };
      const taints = n.spec?.unschedulable === true ? [...others, own] : others;
      n.spec = { ...n.spec, taints };
      if (taints.length === 0) delete n.spec.taints;
    });
  });
}

function fillNamespace({ registry }: Kit, namespace: string, caPem: string): void {
  registry.seed({ apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'default', namespace } });
  registry.seed({
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: 'kube-root-ca.crt', namespace },
    data: { 'ca.crt': caPem },
  });
}

/** Deletes the contents of a terminating namespace, then the namespace itself. */
function emptyNamespace(kit: Kit, namespace: string): void {
  const { store, registry } = kit;
  const held = contents(kit, namespace);
  for (const [resource, { metadata }] of held) {
    if (metadata.deletionTimestamp === undefined) {
      kit.guard(() =>
        registry.delete(resourceNamed(resource), namespace, metadata.name, {
          propagationPolicy: 'Background',
        }),
      );
    }
  }
  if (contents(kit, namespace).length > 0) return;
  const done = store.modify('namespaces', undefined, namespace, (n) => {
    n.spec = {};
  });
  if (done !== undefined && (done.metadata.finalizers ?? []).length === 0)
    store.remove('namespaces', undefined, namespace);
}

const contents = (kit: Kit, namespace: string): [string, Stored][] =>
  everything(kit).filter(([, o]) => o.metadata.namespace === namespace);

/** All objects with an owner reference to `owner`. */
const dependentsOf = (kit: Kit, owner: Stored): [string, Stored][] =>
  everything(kit).filter(([, o]) => o.metadata.ownerReferences?.some((r) => r.uid === owner.metadata.uid));

function deleteDependents(kit: Kit, owner: Stored): void {
  for (const [resource, { metadata }] of dependentsOf(kit, owner)) {
    if (metadata.deletionTimestamp !== undefined) continue;
    const others = (metadata.ownerReferences ?? []).filter((r) => r.uid !== owner.metadata.uid);
    kit.guard(() => {
      if (others.length === 0) {
        kit.registry.delete(resourceNamed(resource), metadata.namespace, metadata.name, {
          propagationPolicy: 'Background',
        });
      } else {
        kit.store.modify(resource, metadata.namespace, metadata.name, (o) => {
          (o as Stored).metadata.ownerReferences = others;
        });
      }
    });
  }
}

/** Handles the garbage collector's two finalizers, `orphan` and `foregroundDeletion`. */
function finalize(kit: Kit, resource: string, object: Stored): void {
  const finalizers = object.metadata.finalizers ?? [];
  if (finalizers.includes('orphan')) {
    for (const [name, { metadata }] of dependentsOf(kit, object)) {
      kit.store.modify(name, metadata.namespace, metadata.name, (o) => {
        const meta = (o as Stored).metadata;
        meta.ownerReferences = (meta.ownerReferences ?? []).filter((r) => r.uid !== object.metadata.uid);
      });
    }
    dropFinalizer(kit, resource, object, 'orphan');
    return;
  }
  if (!finalizers.includes('foregroundDeletion')) return;
  deleteDependents(kit, object);
  const blocking = dependentsOf(kit, object).some(([, o]) =>
    o.metadata.ownerReferences?.some((r) => r.uid === object.metadata.uid && r.blockOwnerDeletion === true),
  );
  if (!blocking) dropFinalizer(kit, resource, object, 'foregroundDeletion');
}

function dropFinalizer(kit: Kit, resource: string, object: Stored, finalizer: string): void {
  const { namespace, name, finalizers = [] } = object.metadata;
  const current = kit.store.get(resource, namespace, name) as Stored | undefined;
  if (current === undefined) return;
  const rest = finalizers.filter((f) => f !== finalizer);
  const next = { ...current, metadata: { ...current.metadata, finalizers: rest } };
  kit.registry.update(resourceNamed(resource), namespace, name, next);
}
