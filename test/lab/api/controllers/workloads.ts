import { createHash } from 'node:crypto';
import { controllerRef } from '../registry-rules.ts';
import { resourceNamed } from '../resources.ts';
import type { Change } from '../store.ts';
import type { DaemonSet, Deployment, Pod, ReplicaSet, StatefulSet, Stored } from '../types.ts';
import { controllerOf, type Kit, withCondition } from './kit.ts';
import { nodeAccepts } from './placement.ts';
import { createPod, deletePod, isActive, isFinished, isReady, podsOf } from './pods.ts';

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

/** Deployments, ReplicaSets, DaemonSets and StatefulSets. Returns how to stop. */
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
  const hash = createHash('sha256').update(JSON.stringify(spec.template)).digest('hex').slice(0, 10);
  const sets = store
    .list('replicasets', namespace)
    .filter((r) => r.metadata.ownerReferences?.some((o) => o.uid === d.metadata.uid));
  const current = sets.find((r) => r.metadata.name === `${name}-${hash}`);
  for (const old of sets) {
    const wanted = old === current ? (spec.replicas ?? 1) : 0;
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

/** What every DaemonSet pod tolerates, cordoned nodes among it. */
const daemonTolerations = [
  { key: 'node.kubernetes.io/not-ready', operator: 'Exists', effect: 'NoExecute' },
  { key: 'node.kubernetes.io/unreachable', operator: 'Exists', effect: 'NoExecute' },
  { key: 'node.kubernetes.io/disk-pressure', operator: 'Exists', effect: 'NoSchedule' },
  { key: 'node.kubernetes.io/memory-pressure', operator: 'Exists', effect: 'NoSchedule' },
  { key: 'node.kubernetes.io/pid-pressure', operator: 'Exists', effect: 'NoSchedule' },
  { key: 'node.kubernetes.io/unschedulable', operator: 'Exists', effect: 'NoSchedule' },
];

const pinnedTo = (pod: Pod): string | undefined =>
  pod.spec?.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms[0]
    ?.matchFields?.[0]?.values?.[0] ?? pod.spec?.nodeName;

function reconcileDaemonSet(kit: Kit, set: DaemonSet): void {
  const { registry, store } = kit;
  const template = set.spec?.template;
  if (template?.spec === undefined) return;
  const tolerations = [...(template.spec.tolerations ?? []), ...daemonTolerations];
  const nodes = store
    .list('nodes')
    .filter((n) => nodeAccepts({ ...template.spec, containers: [], tolerations }, n) === undefined);
  const pods = podsOf(registry, set).filter((p) => !isFinished(p));
  for (const { metadata: node } of nodes) {
    if (pods.some((p) => pinnedTo(p) === node.name)) continue;
    createPod(registry, set, template, {
      spec: (spec) => {
        spec.tolerations = structuredClone(tolerations);
        const term = { matchFields: [{ key: 'metadata.name', operator: 'In', values: [node.name] }] };
        const required = { nodeSelectorTerms: [term] };
        spec.affinity = { nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: required } };
      },
    });
  }
  for (const pod of podsOf(registry, set).filter(isFinished)) deletePod(registry, pod);
  const current = podsOf(registry, set).filter(isActive);
  const ready = current.filter(isReady).length;
  store.modify('daemonsets', set.metadata.namespace, set.metadata.name, (next) => {
    next.status = {
      observedGeneration: set.metadata.generation ?? 1,
      desiredNumberScheduled: nodes.length,
      currentNumberScheduled: current.length,
      updatedNumberScheduled: current.length,
      numberMisscheduled: 0,
      numberReady: ready,
      numberAvailable: ready,
      numberUnavailable: nodes.length - ready,
    };
  });
}

/** One after the other: a pod is created when all before it are ready, and under its old name. */
function reconcileStatefulSet(kit: Kit, set: StatefulSet): void {
  const { registry, store } = kit;
  const template = set.spec?.template;
  if (template === undefined) return;
  const { namespace, name } = set.metadata;
  const wanted = set.spec?.replicas ?? 1;
  for (let i = 0; i < wanted; i += 1) {
    const pod = store.get('pods', namespace, `${name}-${i}`);
    if (pod === undefined) {
      const labels = {
        'statefulset.kubernetes.io/pod-name': `${name}-${i}`,
        'apps.kubernetes.io/pod-index': String(i),
      };
      createPod(registry, set, template, { name: `${name}-${i}`, labels });
      break;
    }
    if (isFinished(pod) && pod.metadata.deletionTimestamp === undefined) deletePod(registry, pod);
    if (!isReady(pod)) break;
  }
  const pods = podsOf(registry, set).filter(isActive);
  const surplus = pods.filter((p) => Number(p.metadata.name.slice(name.length + 1)) >= wanted);
  for (const pod of surplus) deletePod(registry, pod);
  const ready = pods.filter(isReady).length;
  store.modify('statefulsets', namespace, name, (next) => {
    next.status = {
      observedGeneration: set.metadata.generation ?? 1,
      replicas: pods.length,
      readyReplicas: ready,
      availableReplicas: ready,
      currentReplicas: pods.length,
      updatedReplicas: pods.length,
      currentRevision: `${name}-1`,
      updateRevision: `${name}-1`,
      collisionCount: 0,
    };
  });
}
