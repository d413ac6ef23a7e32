import { isFinished, isPodReady, podName } from '../cluster/pods.ts';
import type { Gate } from './gate.ts';

/** Compares the share of Ready pods with `gates.minimumPodReadyRatio`. Finished pods do not count. */
export const podRatio: Gate = {
  name: 'pod-ratio',
  summary: 'enough of the pods that should be Ready are Ready',
  outcomeWhenClosed: 'blocked',
  opensByWaiting: true,
  async check({ cluster, settings }) {
    const pods = (await cluster.pods()).filter((pod) => !isFinished(pod));
    const unready = pods.filter((pod) => !isPodReady(pod));
    const ratio = pods.length === 0 ? 1 : 1 - unready.length / pods.length;
    if (ratio >= settings.gates.minimumPodReadyRatio) return { reasons: [] };
    const some = unready.slice(0, 5).map(podName).join(', ');
    const wanted = settings.gates.minimumPodReadyRatio;
    return {
      reasons: [
        `${unready.length} of ${pods.length} pods are not Ready (at least ${wanted} must be): ${some}`,
      ],
    };
  },
};
