import { controllerRef } from '../registry-rules.ts';
import { resourceNamed } from '../resources.ts';
import type { Change } from '../store.ts';
import type { DaemonSet, Deployment, ReplicaSet, StatefulSet, Stored } from '../types.ts';
import { controllerOf, type Kit, withCondition } from './kit.ts';
import { reconcileDaemonSet, reconcileStatefulSet } from './node-sets.ts';
import { createPod, deletePod, isActive, isReady, podsOf, templateHash } from './pods.ts';

const reconcilers: Readonly<Record<string, (kit: Kit, object: Stored) => void>> = {
  deployments: (kit, o) => reconcileDeployment(kit, o as Deployment),
  replicasets: (kit, o) => reconcileReplicaSet(kit, o as ReplicaSet),
  daemonsets: (kit, o) => reconcileDaemonSet(kit, o as DaemonSet),
  statefulsets: (kit, o) => reconcileStatefulSet(kit, o as StatefulSet),
};
const resourceOfKind: Readonly<Record<string, string>> = {
  Deployment: 'deployments',
  ReplicaSet: 'replicasets',
  DaemonSet: 'daemonsets',
  StatefulSet: 'statefulsets',
};

/**
 * The controllers of Deployments, ReplicaSets, DaemonSets and StatefulSets. Returns a function that stops
 * them.
 */
export function startWorkloads(kit: Kit): () => void {
  const enqueue = kit.queue((key) => {
    const [resource = '', namespace, name = ''] = key.split('/');
    const object = kit.store.get(resource, namespace, name) as Stored | undefined;
    if (object !== undefined && object.metadata.deletionTimestamp === undefined)
      reconcilers[resource]?.(kit, object);
  });
  return kit.store.subscribe((change) => {
    for (const key of affected(kit, change)) enqueue(key);
  });
}

function affected(kit: Kit, { resource, object, type }: Change): string[] {
  if (resource === 'nodes') {
    return kit.store.list('daemonsets').map((d) => `daemonsets/${d.metadata.namespace}/${d.metadata.name}`);
  }
  const keys =
    reconcilers[resource] !== undefined && type !== 'DELETED'
      ? [`${resource}/${object.metadata.namespace}/${object.metadata.name}`]
      : [];
  const owner = controllerOf(object);
  const owned = owner === undefined ? undefined : resourceOfKind[owner.kind];
  if (owner === undefined || owned === undefined) return keys;
  return [...keys, `${owned}/${object.metadata.namespace}/${owner.name}`];
}

function reconcileDeployment(kit: Kit, d: Deployment): void {
  const { store, registry } = kit;
  const { namespace, name } = d.metadata;
  const spec = d.spec;
  if (spec === undefined) return;
  const hash = templateHash(spec.template);
  const sets = store
    .list('replicasets', namespace)
    .filter((r) => r.metadata.ownerReferences?.some((o) => o.uid === d.metadata.uid));
  const current = sets.find((r) => r.metadata.name === `${name}-${hash}`);
  for (const old of sets) {
    const wanted = old === current ? (spec.replicas ?? 1) : stillNeeded(d, current);
    store.modify('replicasets', namespace, old.metadata.name, (r) => {
      if (r.spec !== undefined && r.spec.replicas !== wanted) {
        r.spec.replicas = wanted;
        r.metadata.generation = (r.metadata.generation ?? 0) + 1;
      }
    });
  }
  if (current === undefined) {
    const labels = { ...spec.template.metadata?.labels, 'pod-template-hash': hash };
    registry.create(resourceNamed('replicasets'), namespace, {
      metadata: { name: `${name}-${hash}`, labels, ownerReferences: [controllerRef(d)] },
      spec: {
        replicas: spec.replicas ?? 1,
        selector: {
          ...spec.selector,
          matchLabels: { ...spec.selector.matchLabels, 'pod-template-hash': hash },
        },
        template: { ...spec.template, metadata: { ...spec.template.metadata, labels } },
      },
    });
  }
  deploymentStatus(kit, d, current);
}

/**
 * How many pods of an older template must stay: together with the ready pods of the new one, at least three
 * quarters of the replicas.
 */
function stillNeeded({ spec }: Deployment, current: ReplicaSet | undefined): number {
  if (spec?.strategy?.type === 'Recreate') return 0;
  const replicas = spec?.replicas ?? 1;
  return Math.max(0, replicas - Math.floor(replicas / 4) - (current?.status?.readyReplicas ?? 0));
}

function deploymentStatus(kit: Kit, d: Deployment, current: ReplicaSet | undefined): void {
  const wanted = d.spec?.replicas ?? 1;
  const { replicas = 0, readyReplicas = 0 } = current?.status ?? {};
  const available = readyReplicas >= Math.max(1, Math.floor(wanted * 0.75)) || wanted === 0;
  kit.store.modify('deployments', d.metadata.namespace, d.metadata.name, (next) => {
    next.status = {
      observedGeneration: d.metadata.generation ?? 1,
      ...(replicas > 0 ? { replicas, updatedReplicas: replicas } : {}),
      ...(readyReplicas > 0 ? { readyReplicas, availableReplicas: readyReplicas } : {}),
      ...(wanted > readyReplicas ? { unavailableReplicas: wanted - readyReplicas } : {}),
      conditions: withCondition(
        withCondition(next.status?.conditions as never, {
          type: 'Available',
          status: available ? 'True' : 'False',
          reason: available ? 'MinimumReplicasAvailable' : 'MinimumReplicasUnavailable',
          message: available
            ? 'Deployment has minimum availability.'
            : 'Deployment does not have minimum availability.',
        }),
        {
          type: 'Progressing',
          status: 'True',
          reason: readyReplicas >= wanted ? 'NewReplicaSetAvailable' : 'ReplicaSetUpdated',
          message: `ReplicaSet "${current?.metadata.name ?? ''}" ${readyReplicas >= wanted ? 'has successfully progressed.' : 'is progressing.'}`,
        },
      ) as never,
    };
  });
}

function reconcileReplicaSet(kit: Kit, set: ReplicaSet): void {
  const { registry, store } = kit;
  const template = set.spec?.template;
  const wanted = set.spec?.replicas ?? 1;
  const active = podsOf(registry, set).filter(isActive);
  if (template !== undefined) {
    for (let i = active.length; i < wanted; i += 1) {
      const pod = createPod(registry, set, template);
      kit.event(set, {
        reason: 'SuccessfulCreate',
        message: `Created pod: ${pod.metadata.name}`,
        component: 'replicaset-controller',
      });
    }
  }
  const surplus = [...active].sort((a, b) => Number(isReady(a)) - Number(isReady(b)));
  for (const pod of surplus.slice(0, Math.max(0, active.length - wanted))) deletePod(registry, pod);
  const now = podsOf(registry, set).filter(isActive);
  const ready = now.filter(isReady).length;
  store.modify('replicasets', set.metadata.namespace, set.metadata.name, (next) => {
    next.status = {
      observedGeneration: set.metadata.generation ?? 1,
      replicas: now.length,
      ...(now.length > 0 ? { fullyLabeledReplicas: now.length } : {}),
      ...(ready > 0 ? { readyReplicas: ready, availableReplicas: ready } : {}),
    };
  });
}
