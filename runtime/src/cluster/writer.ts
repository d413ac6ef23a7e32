import type { CoreV1Event, V1Job, V1Pod } from '@kubernetes/client-node';
import { isConflict } from './api-error.ts';
import { type KubernetesClient, mergePatch } from './client.ts';

type Annotations = Readonly<Record<string, string | null>>;

/**
 * Everything that a stage may write to the API. In a dry-run every call is sent with `dryRun=All`. Every
 * method except `createEvent` throws as {@link KubernetesClient.call} does.
 */
export interface ClusterWriter {
  /**
   * Sends one merge patch: annotations (null deletes) and, if given, `spec.unschedulable`. Idempotent.
   *
   * @param version `resourceVersion` that the node must still have.
   * @throws ApiError with status 409 when the node has changed since.
   */
  patchNode(name: string, annotations: Annotations, unschedulable?: boolean, version?: string): Promise<void>;
  /**
   * Patches the annotations of the pipeline's namespace; null deletes. Idempotent.
   *
   * @param version `resourceVersion` that the namespace must still have.
   * @throws ApiError with status 409 when the namespace has changed since.
   */
  patchNamespace(annotations: Annotations, version?: string): Promise<void>;
  /**
   * Evicts a pod.
   *
   * @param gracePeriod milliseconds.
   * @param signal ends the retries early.
   * @throws ApiError with the status of the eviction: 429 refused by a budget, 404 gone, 409 another pod of
   *   that name.
   */
  evict(pod: V1Pod, gracePeriod: number, signal?: AbortSignal): Promise<void>;
  /**
   * Deletes a pod regardless of its budgets.
   *
   * @param gracePeriod milliseconds.
   * @param signal ends the retries early.
   * @throws ApiError: 404 gone, 409 another pod of that name.
   */
  deletePod(pod: V1Pod, gracePeriod: number, signal?: AbortSignal): Promise<void>;
  /** Creates a Job in the pipeline's namespace. Safe to retry: a Job of the same name counts as created. */
  createJob(job: V1Job): Promise<V1Job>;
  /** Creates an Event; tries once and rejects with the client's own error. Does nothing in a dry-run. */
  createEvent(event: CoreV1Event): Promise<void>;
}

/**
 * A writer to the real cluster.
 *
 * @param announce makes it a dry-run that stores nothing; called with a description of each write.
 */
export function clusterWriter(
  client: KubernetesClient,
  namespace: string,
  announce?: (action: string) => void,
): ClusterWriter {
  const dry = announce && { dryRun: 'All' };
  return {
    async patchNode(name, annotations, unschedulable, version) {
      const body = {
        metadata: metadataOf(annotations, version),
        ...(unschedulable !== undefined && { spec: { unschedulable: unschedulable || null } }),
      };
      announce?.(
        `${unschedulable === undefined ? 'annotate' : unschedulable ? 'cordon' : 'uncordon'} node ${name}${describe(annotations)}`,
      );
      await client.call(`patch node ${name}`, () =>
        client.core.patchNode({ name, body, ...dry }, mergePatch),
      );
    },
    async patchNamespace(annotations, version) {
      const body = { metadata: metadataOf(annotations, version) };
      announce?.(`annotate namespace ${namespace}${describe(annotations)}`);
      await client.call(`annotate namespace ${namespace}`, () =>
        client.core.patchNamespace({ name: namespace, body, ...dry }, mergePatch),
      );
    },
    async evict(pod, gracePeriod, signal) {
      const { name = '', namespace: podNamespace = '' } = pod.metadata ?? {};
      announce?.(`evict pod ${podNamespace}/${name}`);
      const body = {
        metadata: { name, namespace: podNamespace },
        deleteOptions: deleteOptions(pod, gracePeriod),
      };
      const request = { name, namespace: podNamespace, body, ...dry };
      const send = () => client.core.createNamespacedPodEviction(request);
      await client.call(`evict pod ${podNamespace}/${name}`, send, signal);
    },
    async deletePod(pod, gracePeriod, signal) {
      const { name = '', namespace: podNamespace = '' } = pod.metadata ?? {};
      announce?.(`delete pod ${podNamespace}/${name}, whose eviction is refused`);
      // kube-apiserver reads the query of a deletion only if there is no body.
      const body = { ...deleteOptions(pod, gracePeriod), ...(announce && { dryRun: ['All'] }) };
      const send = () => client.core.deleteNamespacedPod({ name, namespace: podNamespace, body, ...dry });
      await client.call(`delete pod ${podNamespace}/${name}`, send, signal);
    },
    async createJob(job) {
      announce?.(`create Job ${job.metadata?.name}`);
      const create = () => client.batch.createNamespacedJob({ namespace, body: job, ...dry });
      return client.call(`create Job ${job.metadata?.name}`, create).catch((error) => {
        // Names are random, so an earlier attempt took effect although its answer was lost.
        if (isConflict(error)) return job;
        throw error;
      });
    },
    async createEvent(event) {
      if (announce) return;
      const eventNamespace = event.metadata.namespace ?? 'default';
      await client.core.createNamespacedEvent({ namespace: eventNamespace, body: event });
    },
  };
}

const metadataOf = (annotations: Annotations, version: string | undefined) => ({
  annotations,
  ...(version !== undefined && { resourceVersion: version }),
});

/** @param gracePeriod milliseconds. */
function deleteOptions({ metadata: { uid } = {} }: V1Pod, gracePeriod: number) {
  return {
    gracePeriodSeconds: Math.round(gracePeriod / 1000),
    preconditions: { ...(uid && { uid }) },
  };
}

/** ` key=value` for a set annotation, ` key-` for a removed one, in kubectl's notation. */
function describe(annotations: Annotations): string {
  return Object.entries(annotations)
    .map(([key, value]) => (value === null ? ` ${key}-` : ` ${key}=${value}`))
    .join('');
}
