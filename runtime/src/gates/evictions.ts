import type { V1Pod } from '@kubernetes/client-node';
import { ApiError, isNotFound } from '../cluster/api-error.ts';
import type { KubernetesClient } from '../cluster/client.ts';
import { podName } from '../cluster/drain-filter.ts';
import { clusterWriter } from '../cluster/writer.ts';

/**
 * Asks the API server whether it would evict these pods now (`dryRun=All`), which also exercises permissions and webhooks.
 *
 * @returns `temporary`: a budget that has no disruption to give at this moment; the drain waits for it.
 *   `fatal`: any other refusal.
 */
export async function evictionRefusals(
  client: KubernetesClient,
  pods: readonly V1Pod[],
): Promise<{ fatal: string[]; temporary: string[] }> {
  const dryWriter = clusterWriter(client, '', () => {});
  const fatal: string[] = [];
  const temporary: string[] = [];
  await Promise.all(
    pods.map(async (pod) => {
      const where = `${podName(pod)} on ${pod.spec?.nodeName}`;
      try {
        await dryWriter.evict(pod, 0);
      } catch (error) {
        client.options.signal.throwIfAborted();
        if (isNotFound(error) || (error instanceof ApiError && error.status === 409)) return;
        const message = error instanceof Error ? error.message : String(error);
        if (error instanceof ApiError && error.refusedByBudget) {
          temporary.push(`${where}: ${error.causes.map((c) => c.message).join('; ')}; the drain will wait`);
        } else fatal.push(`${where}: ${message}`);
      }
    }),
  );
  return { fatal: fatal.sort(), temporary: temporary.sort() };
}
