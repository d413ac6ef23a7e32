import { matchesSelector } from '../selectors.ts';
import { now } from '../store.ts';
import type { Deployment, Pod, PodDisruptionBudget, Stored } from '../types.ts';
import { controllerOf, type Kit, withCondition } from './kit.ts';
import { isReady } from './pods.ts';

/** How long an evicted pod that still exists counts as disrupted, in ms. */
const disruptedFor = 120_000;

/** Maintains the status of PodDisruptionBudgets. Returns a function that stops it. */
export function startBudgets(kit: Kit): () => void {
  const enqueue = kit.queue((key) => {
    const [namespace, name = ''] = key.split('/');
    const budget = kit.store.get('poddisruptionbudgets', namespace, name);
    if (budget !== undefined) reconcile(kit, budget);
  });
  return kit.store.subscribe(({ resource, object }) => {
    const { namespace, name } = object.metadata;
    if (resource === 'poddisruptionbudgets') enqueue(`${namespace}/${name}`);
    if (!['pods', 'replicasets', 'statefulsets', 'deployments'].includes(resource)) return;
    for (const b of kit.store.list('poddisruptionbudgets', namespace))
      enqueue(`${namespace}/${b.metadata.name}`);
  });
}

function reconcile(kit: Kit, budget: PodDisruptionBudget): void {
  const { namespace, name, generation } = budget.metadata;
  const pods = kit.store
    .list('pods', namespace)
    .filter((p) => matchesSelector(budget.spec?.selector, p.metadata.labels))
    .filter((p) => p.status?.phase !== 'Succeeded' && p.status?.phase !== 'Failed');
  const disruptedPods = stillDisrupted(budget, pods);
  const currentHealthy = pods.filter(
    (p) =>
      p.metadata.deletionTimestamp === undefined &&
      isReady(p) &&
      disruptedPods[p.metadata.name] === undefined,
  ).length;
  const wanted = expectation(kit, budget, pods);
  const allowed =
    wanted.error === undefined && wanted.expected > 0 ? Math.max(0, currentHealthy - wanted.desired) : 0;
  kit.store.modify('poddisruptionbudgets', namespace, name, (next) => {
    next.status = {
      observedGeneration: generation ?? 1,
      disruptionsAllowed: allowed,
      currentHealthy,
      desiredHealthy: wanted.desired,
      expectedPods: wanted.expected,
      ...(Object.keys(disruptedPods).length > 0 ? { disruptedPods } : {}),
      conditions: withCondition(next.status?.conditions as never, {
        type: 'DisruptionAllowed',
        status: allowed > 0 ? 'True' : 'False',
        reason:
          wanted.error !== undefined ? 'SyncFailed' : allowed > 0 ? 'SufficientPods' : 'InsufficientPods',
        message: wanted.error ?? '',
        observedGeneration: generation ?? 1,
      }) as never,
    };
  });
}

function stillDisrupted(budget: PodDisruptionBudget, pods: readonly Pod[]): Record<string, string> {
  const entries = Object.entries(budget.status?.disruptedPods ?? {}).filter(([name, since]) => {
    const pod = pods.find((p) => p.metadata.name === name);
    const recent = Date.parse(since) + disruptedFor > Date.parse(now());
    return recent && pod !== undefined && pod.metadata.deletionTimestamp === undefined;
  });
  return Object.fromEntries(entries);
}

interface Expectation {
  readonly expected: number;
  readonly desired: number;
  readonly error?: string;
}

/**
 * Percentages and maxUnavailable are relative to the replicas that the controllers want; an absolute
 * minAvailable is compared with the pods that exist.
 */
function expectation(kit: Kit, { spec }: PodDisruptionBudget, pods: readonly Pod[]): Expectation {
  const { minAvailable, maxUnavailable } = spec ?? {};
  if (maxUnavailable === undefined && typeof minAvailable !== 'string') {
    return { expected: pods.length, desired: minAvailable ?? 0 };
  }
  const orphan = pods.find((p) => controllerOf(p) === undefined);
  if (orphan !== undefined) {
    return {
      expected: 0,
      desired: 0,
      error: `found no controllers for pod ${JSON.stringify(orphan.metadata.name)}`,
    };
  }
  const expected = expectedScale(kit, pods);
  if (maxUnavailable !== undefined) {
    return { expected, desired: Math.max(0, expected - scaled(maxUnavailable, expected)) };
  }
  return { expected, desired: scaled(minAvailable ?? 0, expected) };
}

/** A number, or a percentage of `total` rounded up. */
function scaled(value: number | string, total: number): number {
  return typeof value === 'number' ? value : Math.ceil((Number.parseFloat(value) / 100) * total);
}

function expectedScale(kit: Kit, pods: readonly Pod[]): number {
  const scales = new Map<string, number>();
  for (const pod of pods) {
    const owner = controllerOf(pod);
    if (owner !== undefined) scales.set(owner.uid, replicasOf(kit, pod, owner));
  }
  return [...scales.values()].reduce((sum, n) => sum + n, 0);
}

function replicasOf(kit: Kit, pod: Pod, owner: { kind: string; name: string }): number {
  const resource = `${owner.kind.toLowerCase()}s`;
  const controller = kit.store.get(resource, pod.metadata.namespace, owner.name) as Stored | undefined;
  const above = controller === undefined ? undefined : controllerOf(controller);
  const top =
    above === undefined
      ? controller
      : kit.store.get(`${above.kind.toLowerCase()}s`, pod.metadata.namespace, above.name);
  return (top as Deployment | undefined)?.spec?.replicas ?? 1;
}
