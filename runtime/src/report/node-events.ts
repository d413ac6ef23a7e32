import type { CoreV1Event } from '@kubernetes/client-node';
import type { ClusterWriter } from '../cluster/writer.ts';
import { describe } from './describe.ts';
import type { NodePhase, RunEvent, Sink } from './events.ts';

const reasons: Partial<Record<NodePhase, string>> = {
  draining: 'UpgradeDraining',
  updating: 'UpgradeStarted',
  updated: 'UpgradeFinished',
  done: 'UpgradeSoaked',
};

/** Creates a Kubernetes Event on the node for some of its phases, shown by `kubectl describe node`. */
export function nodeEventSink(writer: ClusterWriter): Sink {
  return {
    name: 'events',
    async handle(event) {
      if (event.type !== 'node') return;
      const reason = reasons[event.phase];
      if (reason !== undefined) await writer.createEvent(nodeEvent(event, reason));
    },
  };
}

function nodeEvent(event: Extract<RunEvent, { type: 'node' }>, reason: string): CoreV1Event {
  const now = new Date();
  return {
    metadata: { generateName: `${event.node}.`, namespace: 'default' },
    involvedObject: { apiVersion: 'v1', kind: 'Node', name: event.node, uid: event.node },
    reason,
    message: describe(event),
    type: 'Normal',
    firstTimestamp: now,
    lastTimestamp: now,
    count: 1,
    source: { component: 'k8s-version-upgrade' },
  };
}
