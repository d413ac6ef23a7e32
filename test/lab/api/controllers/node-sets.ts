import type { DaemonSet, Pod, StatefulSet } from '../types.ts';
import type { Kit } from './kit.ts';
import { nodeAccepts } from './placement.ts';
import { createPod, deletePod, isActive, isFinished, isReady, podsOf, templateHash } from './pods.ts';

/** Tolerations of every DaemonSet pod; cordoned nodes are included. */
const daemonTolerations = [
  { key: 'node.kubernetes.io/not-ready', operator: 'Exists', effect: 'NoExecute' },
  { key: 'node.kubernetes.io/unreachable', operator: 'Exists', effect: 'NoExecute' },
  { key: 'node.kubernetes.io/disk-pressure', operator: 'Exists', effect: 'NoSchedule' },
  { key: 'node.kubernetes.io/memory-pressure', operator: 'Exists', effect: 'NoSchedule' },
  { key: 'node.kubernetes.io/pid-pressure', operator: 'Exists', effect: 'NoSchedule' },
  { key: 'node.kubernetes.io/unschedulable', operator: 'Exists', effect: 'NoSchedule' },
];

const revisionLabel = 'controller-revision-hash';
const isOf = (revision: string, pod: Pod): boolean => pod.metadata.labels?.[revisionLabel] === revision;

/** Rolling update: deletes one outdated pod, but only while all pods exist and are ready. */
function replaceOneOutdated(kit: Kit, pods: readonly Pod[], revision: string, wanted: number): void {
  const whole = pods.length >= wanted && pods.every((p) => isActive(p) && isReady(p));
  const outdated = pods.find((p) => !isOf(revision, p));
  if (whole && outdated !== undefined) deletePod(kit.registry, outdated);
}

const pinnedTo = (pod: Pod): string | undefined =>
  pod.spec?.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms[0]
    ?.matchFields?.[0]?.values?.[0] ?? pod.spec?.nodeName;

/** Keeps one pod on each node that accepts it. */
export function reconcileDaemonSet(kit: Kit, set: DaemonSet): void {
  const { registry, store } = kit;
  const template = set.spec?.template;
  if (template?.spec === undefined) return;
  const tolerations = [...(template.spec.tolerations ?? []), ...daemonTolerations];
  const nodes = store
    .list('nodes')
    .filter((n) => nodeAccepts({ ...template.spec, containers: [], tolerations }, n) === undefined);
  const hash = templateHash(template);
  const pods = podsOf(registry, set).filter((p) => !isFinished(p));
  for (const { metadata: node } of nodes) {
    if (pods.some((p) => pinnedTo(p) === node.name)) continue;
    createPod(registry, set, template, {
      labels: { [revisionLabel]: hash },
      spec: (spec) => {
        spec.tolerations = structuredClone(tolerations);
        const term = { matchFields: [{ key: 'metadata.name', operator: 'In', values: [node.name] }] };
        const required = { nodeSelectorTerms: [term] };
        spec.affinity = { nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: required } };
      },
    });
  }
  for (const pod of podsOf(registry, set).filter(isFinished)) deletePod(registry, pod);
  replaceOneOutdated(kit, podsOf(registry, set), hash, nodes.length);
  const current = podsOf(registry, set).filter(isActive);
  const ready = current.filter(isReady).length;
  store.modify('daemonsets', set.metadata.namespace, set.metadata.name, (next) => {
    next.status = {
      observedGeneration: set.metadata.generation ?? 1,
      desiredNumberScheduled: nodes.length,
      currentNumberScheduled: current.length,
      updatedNumberScheduled: current.filter((p) => isOf(hash, p)).length,
      numberMisscheduled: 0,
      numberReady: ready,
      numberAvailable: ready,
      numberUnavailable: nodes.length - ready,
    };
  });
}

/** Creates pods in order: each under its fixed name, once all pods before it are ready. */
export function reconcileStatefulSet(kit: Kit, set: StatefulSet): void {
  const { registry, store } = kit;
  const template = set.spec?.template;
  if (template === undefined) return;
  const { namespace, name } = set.metadata;
  const wanted = set.spec?.replicas ?? 1;
  const hash = templateHash(template);
  for (let i = 0; i < wanted; i += 1) {
    const pod = store.get('pods', namespace, `${name}-${i}`);
    if (pod === undefined) {
      const labels = {
        'statefulset.kubernetes.io/pod-name': `${name}-${i}`,
        'apps.kubernetes.io/pod-index': String(i),
        [revisionLabel]: `${name}-${hash}`,
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
  replaceOneOutdated(kit, [...pods].reverse(), `${name}-${hash}`, wanted);
  const ready = pods.filter(isReady).length;
  store.modify('statefulsets', namespace, name, (next) => {
    next.status = {
      observedGeneration: set.metadata.generation ?? 1,
      replicas: pods.length,
      readyReplicas: ready,
      availableReplicas: ready,
      currentReplicas: pods.length,
      updatedReplicas: pods.filter((p) => isOf(`${name}-${hash}`, p)).length,
      currentRevision: `${name}-${hash}`,
      updateRevision: `${name}-${hash}`,
      collisionCount: 0,
    };
  });
}
