import type { CoreV1Event } from '@kubernetes/client-node';
import type { ClusterWriter } from '../cluster/writer.ts';
import { describe } from './describe.ts';
import type { NodePhase, RunEvent, Sink } from './events.ts';

type NodeEvent = Extract<RunEvent, { type: 'node' }>;

const reasons: Partial<Record<NodePhase, string>> = {
  'running-kubeadm': 'UpgradeKubeadm',
  draining: 'UpgradeDraining',
  updating: 'UpgradeStarted',
  updated: 'UpgradeFinished',
  done: 'UpgradeDone',
};

/** A node is only `done` with a duration after its soak; one without a soak has none. */
const reasonOf = ({ phase, seconds }: NodeEvent): string | undefined =>
  phase === 'done' && seconds !== undefined ? 'UpgradeSoaked' : reasons[phase];

/** The limit of `events.k8s.io/v1` for the text of an Event, in bytes. */
const longestText = 1024;

/**
 * Creates a Kubernetes Event on the node for some of its phases, shown by `kubectl describe node`. The node
 * that a run was upgrading when it failed gets a warning with the reason.
 */
export function nodeEventSink(writer: ClusterWriter): Sink {
  /** The node between the start of its upgrade and its return. */
  let current: string | undefined;
  return {
    name: 'events',
    async handle(event) {
      if (event.type === 'node') {
        current = event.phase === 'soaking' || event.phase === 'done' ? undefined : event.node;
        const reason = reasonOf(event);
        if (reason !== undefined)
          await writer.createEvent(nodeEvent(event.node, 'Normal', reason, describe(event)));
      } else if (event.type === 'run-ended' && event.outcome !== 'done' && current !== undefined) {
        await writer.createEvent(nodeEvent(current, 'Warning', 'UpgradeFailed', event.message));
      }
    },
  };
}

function nodeEvent(node: string, type: 'Normal' | 'Warning', reason: string, text: string): CoreV1Event {
  const now = new Date();
  return {
    metadata: { generateName: `${node}.`, namespace: 'default' },
    involvedObject: { apiVersion: 'v1', kind: 'Node', name: node, uid: node },
    reason,
    message: shortened(text),
    type,
    firstTimestamp: now,
    lastTimestamp: now,
    count: 1,
    source: { component: 'k8s-version-upgrade' },
  };
}

/** The text, cut after a whole character so that it fits into an Event. */
function shortened(text: string): string {
  const bytes = Buffer.from(text);
  if (bytes.length <= longestText) return text;
  const end = ' …';
  // `stream` leaves out a last character that is incomplete.
  const kept = bytes.subarray(0, longestText - Buffer.byteLength(end));
  return new TextDecoder().decode(kept, { stream: true }) + end;
}
