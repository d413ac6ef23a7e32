import type { Registry } from '../registry.ts';
import { checkPreconditions } from '../registry-rules.ts';
import { resourceNamed } from '../resources.ts';
import { matchesSelector } from '../selectors.ts';
import { badRequest, failure, forbidden, notFound, type Status, StatusError, success } from '../status.ts';
import { now } from '../store.ts';
import type { KubeObject, Pod, PodDisruptionBudget } from '../types.ts';
import { checkNamespace } from './admission.ts';
import { deleteOptions } from './options.ts';

const podResource = resourceNamed('pods');

/**
 * `pods/eviction`: checks the PodDisruptionBudget, then deletes the pod.
 * @throws StatusError 400, 403, 404, 409, 429, 500
 */
export function evict(
  registry: Registry,
  namespace: string,
  name: string,
  body: KubeObject,
  dryRun: boolean,
): Status {
  const { store } = registry;
  if (body.kind !== undefined && body.kind !== 'Eviction') throw badRequest(`not an Eviction: ${body.kind}`);
  if (body.metadata?.name !== name) {
    throw badRequest('name in URL does not match name in Eviction object');
  }
  checkNamespace(store, podResource, namespace, name);
  const pod = store.get('pods', namespace, name);
  if (pod === undefined) throw notFound(podResource, name);
  const options = deleteOptions(body.deleteOptions, new URLSearchParams());
  const dry = dryRun || options.dryRun === true;
  // As in kube-apiserver, the budget is checked before the preconditions, even if the pod has been replaced.
  if (!ignoresBudget(pod)) takeBudget(registry, pod, dry);
  checkPreconditions(podResource, pod, options.preconditions);
  if (!dry) markDisrupted(registry, pod);
  registry.delete(podResource, namespace, name, { ...options, dryRun: dry });
  return success(201);
}

/** Whether a pod is evicted regardless of budgets: it is finished, pending or already being deleted. */
function ignoresBudget(pod: Pod): boolean {
  const phase = pod.status?.phase ?? '';
  return ['Succeeded', 'Failed', 'Pending'].includes(phase) || pod.metadata.deletionTimestamp !== undefined;
}

function takeBudget(registry: Registry, pod: Pod, dry: boolean): void {
  const budgets = registry.store
    .list('poddisruptionbudgets', pod.metadata.namespace)
    .filter((b) => matchesSelector(b.spec?.selector, pod.metadata.labels));
  if (budgets.length > 1) {
    throw new StatusError(
      failure(
        500,
        undefined,
        'This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.',
      ),
    );
  }
  const [budget] = budgets;
  if (budget === undefined || mayIgnoreUnhealthy(pod, budget)) return;
  checkBudget(budget);
  if (!dry) decrement(registry, budget, pod.metadata.name);
}

function mayIgnoreUnhealthy(pod: Pod, { spec, status }: PodDisruptionBudget): boolean {
  const ready = pod.status?.conditions?.some((c) => c.type === 'Ready' && c.status === 'True');
  if (ready === true) return false;
  if (spec?.unhealthyPodEvictionPolicy === 'AlwaysAllow') return true;
  const desired = status?.desiredHealthy ?? 0;
  return desired > 0 && (status?.currentHealthy ?? 0) >= desired;
}

function checkBudget({ metadata, status }: PodDisruptionBudget): void {
  const { name, generation = 0 } = metadata;
  if ((status?.observedGeneration ?? 0) < generation) {
    throw tooMany(`The disruption budget ${name} is still being processed by the server.`, 10);
  }
  const allowed = status?.disruptionsAllowed ?? 0;
  if (allowed < 0) {
    throw forbidden(resourceNamed('poddisruptionbudgets'), name, 'pdb disruptions allowed is negative');
  }
  if (allowed > 0) return;
  throw tooMany(
    `The disruption budget ${name} needs ${status?.desiredHealthy ?? 0} healthy pods and has ${status?.currentHealthy ?? 0} currently`,
  );
}

function tooMany(message: string, retryAfterSeconds?: number): StatusError {
  return new StatusError(
    failure(429, 'TooManyRequests', "Cannot evict pod as it would violate the pod's disruption budget.", {
      causes: [{ reason: 'DisruptionBudget', message }],
      ...(retryAfterSeconds === undefined ? {} : { retryAfterSeconds }),
    }),
  );
}

function decrement({ store }: Registry, { metadata }: PodDisruptionBudget, pod: string): void {
  store.modify('poddisruptionbudgets', metadata.namespace, metadata.name, ({ status }) => {
    if (status === undefined) return;
    status.disruptionsAllowed -= 1;
    status.disruptedPods = { ...status.disruptedPods, [pod]: now() };
  });
}

function markDisrupted({ store }: Registry, { metadata, status: { phase } = {} }: Pod): void {
  if (phase === 'Succeeded' || phase === 'Failed') return;
  store.modify('pods', metadata.namespace, metadata.name, (pod) => {
    const conditions = (pod.status?.conditions ?? []).filter((c) => c.type !== 'DisruptionTarget');
    conditions.push({
      type: 'DisruptionTarget',
      status: 'True',
      reason: 'EvictionByEvictionAPI',
      message: 'Eviction API: evicting',
      lastTransitionTime: now(),
    });
    pod.status = { ...pod.status, conditions };
  });
}
