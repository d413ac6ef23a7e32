import { now } from '../store.ts';
import { type Kit, withCondition } from './kit.ts';

const unreachable = 'node.kubernetes.io/unreachable';

/**
 * Sets the condition Ready and the unreachable taints of a node whose kubelet answers or has stopped
 * answering.
 */
export function setReachable(kit: Kit, node: string, reachable: boolean): void {
  const ready = reachable
    ? { status: 'True', reason: 'KubeletReady', message: 'kubelet is posting ready status' }
    : { status: 'Unknown', reason: 'NodeStatusUnknown', message: 'Kubelet stopped posting node status.' };
  kit.store.modify('nodes', undefined, node, (n) => {
    const condition = { type: 'Ready', ...ready, lastHeartbeatTime: now() };
    n.status = { ...n.status, conditions: withCondition(n.status?.conditions as never, condition) as never };
    const others = (n.spec?.taints ?? []).filter((t) => t.key !== unreachable);
    const own = ['NoSchedule', 'NoExecute'].map((effect) => ({ key: unreachable, effect, timeAdded: now() }));
    const taints = reachable ? others : [...others, ...own];
    n.spec = { ...n.spec, taints };
    if (taints.length === 0) delete n.spec.taints;
  });
}
