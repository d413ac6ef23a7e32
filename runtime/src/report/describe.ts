import { formatDuration } from '../duration.ts';
import type { RunEvent } from './events.ts';

const list = (reasons: readonly string[]): string => reasons.map((reason) => `\n  - ${reason}`).join('');
const inSeconds = (seconds: number | undefined): string =>
  seconds === undefined ? '' : ` in ${formatDuration(seconds * 1000)}`;

type NodeEvent = Extract<RunEvent, { type: 'node' }>;

function describeNode(event: NodeEvent): string {
  const { node, from, to, pods, seconds } = event;
  switch (event.phase) {
    case 'preparing':
      return `${node}: fetching packages and images for ${to}`;
    case 'prepared':
      return `${node}: packages and images for ${to} are there${inSeconds(seconds)}`;
    case 'running-kubeadm':
      return `${node}: kubeadm ${from} → ${to}, while the node serves`;
    case 'ran-kubeadm':
      return `${node}: kubeadm is done${inSeconds(seconds)}`;
    case 'draining':
      return `${node}: draining (${from} → ${to})`;
    case 'drained':
      return `${node}: drained, ${pods ?? 0} pods${inSeconds(seconds)}`;
    case 'updating':
      return `${node}: upgrading ${from} → ${to}`;
    case 'updated':
      return `${node}: packages at ${to}${inSeconds(seconds)}`;
    case 'soaking':
      return `${node}: Ready at ${to}, soaking`;
    case 'done':
      return `${node}: done`;
  }
}

/** Describes an event in one sentence of plain text, for the log, a terminal and Slack. */
export function describe(event: RunEvent): string {
  switch (event.type) {
    case 'run-started':
      return `${event.resumed ? 'resuming' : 'starting'} ${event.kind} upgrade ${event.running} → ${event.target} (${event.stages.join(', ')})`;
    case 'stage-started':
      return `stage ${event.stage}: ${event.summary}`;
    case 'stage-skipped':
      return `stage ${event.stage}: nothing to do, ${event.why}`;
    case 'stage-done':
      return `stage ${event.stage}: done${inSeconds(event.seconds)}`;
    case 'node':
      return describeNode(event);
    case 'script':
      return `${event.node} ${event.script}: ${event.line}`;
    case 'waiting':
      return `waiting until ${event.until} for:${list(event.reasons)}`;
    case 'snapshot':
      return `etcd snapshot ${event.path}: verified, hash ${event.hash}, revision ${event.revision}, ${event.size} bytes`;
    case 'in-flight':
      return event.startedAt === undefined ? 'no rollout is in flight' : 'a rollout is in flight';
    case 'heartbeat':
      return 'alive';
    case 'planned-action':
      return `WOULD: ${event.action}`;
    case 'notice':
      return event.text;
    case 'handed-off':
      return `handing over to ${event.job}: ${event.why}`;
    case 'run-ended':
      return `${event.outcome}: ${event.message}${event.hint === undefined ? '' : `\n${event.hint}`}`;
  }
}
