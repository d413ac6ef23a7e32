import { timeOf } from '../cluster/nodes.ts';
import { describeUnready, isUnready, someOf, unreadySince, workloadOf } from '../cluster/unready-pods.ts';
import { isChanged } from '../rollout/node-annotations.ts';
import { soakOf } from '../rollout/soak.ts';
import type { Gate } from './gate.ts';

/**
 * Checked at the end of a soak: whether what runs on the node does (F34). A workload that had pods that were
 * not Ready when the rollout started, or has on nodes that it has not changed, has a cause of its own.
 */
export const soakedPods: Gate = {
  name: 'soaked-pods',
  summary: 'the pods of a node that has soaked are Ready',
  outcomeWhenClosed: 'blocked',
  opensByWaiting: true,
  async check({ cluster, nodes, settings, inFlight }) {
    const soaking = nodes.flatMap((node) => {
      const soak = soakOf(node, settings);
      return soak === undefined ? [] : [{ name: node.name, end: soak.end }];
    });
    const before = inFlight?.unready;
    if (soaking.length === 0 || before === undefined) return { reasons: [] };
    const unready = (await cluster.pods()).filter(isUnready);
    const others = new Set(nodes.filter((node) => !isChanged(node, inFlight)).map(({ name }) => name));
    const elsewhere = unready.filter(({ spec }) => others.has(spec?.nodeName ?? '')).map(workloadOf);
    const excused = new Set([...before, ...elsewhere]);
    const found = soaking.map(({ name, end }) => ({
      name,
      end,
      pods: unready.filter(
        (pod) =>
          pod.spec?.nodeName === name &&
          !excused.has(workloadOf(pod)) &&
          (timeOf(pod.metadata?.creationTimestamp) ?? 0) <= end,
      ),
    }));
    const stuck = found.filter(({ pods }) => pods.length > 0);
    if (stuck.length === 0) return { reasons: [] };
    const since = stuck.flatMap(({ end, pods }) => pods.map((pod) => Math.max(end, unreadySince(pod))));
    return {
      reasons: stuck.map(
        ({ name, pods }) =>
          `not Ready on ${name}, and not before this rollout: ${someOf(pods.map(describeUnready))}; see kubectl describe pod, and the pods of the network and storage there`,
      ),
      opensAt: Math.max(...since) + settings.timing.nodeReady,
    };
  },
};
