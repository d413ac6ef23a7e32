import type { CoreV1Event, V1Job, V1Pod } from '@kubernetes/client-node';
import { isConflict } from './api-error.ts';
import { type KubernetesClient, mergePatch } from './client.ts';

type Annotations = Readonly<Record<string, string | null>>;

/** What a stage may write to the API. In a dry-run every call is sent with `dryRun=All`. */
export interface ClusterWriter {
  /**
   * One merge patch: annotations (null deletes) and, where given, `spec.unschedulable`.
   *
   * @param version `resourceVersion` that it must still have. @throws ApiError with status 409 when it has changed since.
   */
  patchNode(name: string, annotations: Annotations, unschedulable?: boolean, version?: string): Promise<void>;
  /** @param version `resourceVersion` that it must still have. @throws ApiError with status 409 when it has changed since. */
  patchNamespace(annotations: Annotations, version?: string): Promise<void>;
  /**
   * @param signal ends its attempts early.
   * @throws ApiError as the eviction subresource answers: 429 refused, 404 gone, 409 another pod of that name.
   */
  evict(pod: V1Pod, gracePeriod: number, signal?: AbortSignal): Promise<void>;
  /** Past every budget, this pod and no other of its name. @throws ApiError: 404 gone, 409 another pod of that name. */
  deletePod(pod: V1Pod, gracePeriod: number, signal?: AbortSignal): Promise<void>;
  createJob(job: V1Job): Promise<V1Job>;
  createEvent(event: CoreV1Event): Promise<void>;
}

/** @param announce told in words what each write would have done; given, nothing is stored. */
export function clusterWriter(
  client: KubernetesClient,
  namespace: string,
  announce?: (announce: string) => void,
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
      const request = { name, namespace: podNamespace, body: deleteOptions(pod, gracePeriod), ...dry };
      const send = () => client.core.deleteNamespacedPod(request);
      await client.call(`delete pod ${podNamespace}/${name}`, send, signal);
    },
    async createJob(job) {
      announce?.(`create Job ${job.metadata?.name}`);
      const create = () => client.batch.createNamespacedJob({ namespace, body: job, ...dry });
      return client.call(`create Job ${job.metadata?.name}`, create).catch((error) => {
        // Its random name exists: an earlier attempt took effect without an answer.
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

/** ` key=value` for what is set, ` key-` for what is removed, as kubectl writes it. */
function describe(annotations: Annotations): string {
  return Object.entries(annotations)
    .map(([key, value]) => (value === null ? ` ${key}-` : ` ${key}=${value}`))
    .join('');
}
