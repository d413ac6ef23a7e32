import type { V1Pod } from '@kubernetes/client-node';
import { isFinished, isPodReady } from '../cluster/pods.ts';
import { describeUnready, isUnready, someOf, workloadOf } from '../cluster/unready-pods.ts';
import type { InFlight } from '../rollout/journal.ts';
import type { Gate } from './gate.ts';

/**
 * Compares the share of Ready pods with `gates.minimumPodReadyRatio`. Finished pods do not count. Names those
 * whose workload was Ready before the rollout, also where enough are Ready (F34).
 */
export const podRatio: Gate = {
  name: 'pod-ratio',
  summary: 'enough of the pods that should be Ready are Ready',
  outcomeWhenClosed: 'blocked',
  opensByWaiting: true,
  async check({ cluster, settings, inFlight }) {
    const pods = (await cluster.pods()).filter((pod) => !isFinished(pod));
    const unready = pods.filter((pod) => !isPodReady(pod));
    const ratio = pods.length === 0 ? 1 : 1 - unready.length / pods.length;
    const lately = sinceRollout(unready, inFlight);
    const notes = lately.length === 0 ? [] : [`Ready before this rollout and not now: ${someOf(lately)}`];
    const wanted = settings.gates.minimumPodReadyRatio;
    if (ratio >= wanted) return { reasons: [], notes };
    const some = someOf(unready.map(describeUnready));
    return {
      reasons: [
        `${unready.length} of ${pods.length} pods are not Ready (at least ${wanted} must be): ${some}`,
        ...notes,
      ],
    };
  },
};

/** Those of workloads that had no pod that was not Ready when the rollout started. None where unknown. */
function sinceRollout(pods: readonly V1Pod[], inFlight: InFlight | undefined): string[] {
  const before = inFlight?.unready;
  if (before === undefined) return [];
  return pods.filter((pod) => isUnready(pod) && !before.has(workloadOf(pod))).map(describeUnready);
}
