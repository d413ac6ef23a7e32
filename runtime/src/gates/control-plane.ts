import type { V1Pod } from '@kubernetes/client-node';
import { controlPlanePods } from '../cluster/control-plane-pods.ts';
import { isPodReady, podName } from '../cluster/pods.ts';
import { isInProgressOf } from '../rollout/node-annotations.ts';
import type { Gate } from './gate.ts';

/** Skips the control-plane nodes that this rollout is upgrading. */
export const controlPlaneGate: Gate = {
  name: 'control-plane',
  summary: 'the control-plane pods of every control-plane node are Ready',
  outcomeWhenClosed: 'blocked',
  opensByWaiting: true,
  observes: ['nodes', 'control-plane pods'],
  async check({ cluster, nodes, inFlight }) {
    const pods = controlPlanePods(await cluster.pods(), nodes);
    const members = nodes.filter((n) => n.controlPlane);
    const inProgress = members.filter((n) => isInProgressOf(n, inFlight));
    const isOn = (pod: V1Pod, node: { name: string }) => pod.spec?.nodeName === node.name;
    const unready = pods.filter((pod) => !isPodReady(pod) && !inProgress.some((n) => isOn(pod, n)));
    const bare = members.filter((n) => !inProgress.includes(n) && !pods.some((pod) => isOn(pod, n)));
    return {
      reasons: [
        ...unready.map((pod) => `pod ${podName(pod)} is not Ready`),
        ...bare.map((n) => `${n.name} has no control-plane pod`),
      ],
      notes: inProgress.map((n) => `${n.name} was not checked: this rollout is upgrading it`),
    };
  },
};
