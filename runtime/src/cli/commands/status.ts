import type { ClusterNode } from '../../cluster/nodes.ts';
import { hasFailed, isActive } from '../../jobs/job.ts';
import { readHolderAndJobs } from '../../jobs/run-in-progress.ts';
import { readNotes } from '../../rollout/journal.ts';
import { ConfigMapKillSwitch } from '../../rollout/kill-switch.ts';
import { type CommonOptions, openSession } from '../session.ts';

/** Options of `status`. */
export interface StatusOptions extends CommonOptions {
  /** Print JSON instead of text. @default false */
  readonly json?: boolean;
}

/** `k8s-upgrade status`: prints versions, the rollout in flight, the running executor and the latest Jobs. */
export async function statusCommand(options: StatusOptions): Promise<void> {
  const { settings, client, cluster } = openSession(options);
  const { namespace, annotationPrefix } = settings;
  const [server, nodes, halted, notes, { holder, jobs }] = await Promise.all([
    cluster.serverRelease(),
    cluster.nodes(),
    new ConfigMapKillSwitch(client, namespace).reason(),
    readNotes(client, namespace, annotationPrefix),
    readHolderAndJobs(client, namespace),
  ]);
  const status = {
    server,
    nodes: nodes.map((node) => ({ name: node.name, release: node.release, state: stateOf(node) })),
    inFlight: notes.inFlight ?? null,
    dispatched: notes.dispatched ?? null,
    atWork: holder ?? null,
    halted: halted ?? null,
    jobs: jobs.slice(0, 5).map((job) => ({
      name: job.metadata?.name,
      state: isActive(job) ? 'active' : hasFailed(job) ? 'failed' : 'complete',
    })),
  };
  process.stdout.write(options.json ? `${JSON.stringify(status, null, 2)}\n` : asText(status));
}

function stateOf(node: ClusterNode): string {
  const words = [node.ready ? 'Ready' : 'NotReady'];
  if (node.cordonedByUs) words.push('cordoned by the rollout');
  else if (node.cordonedEarlier) words.push('cordoned by an earlier rollout or a person');
  else if (node.unschedulable) words.push('cordoned by a person');
  if (node.soakingSince !== undefined) words.push('soaking');
  return words.join(', ');
}

interface Status {
  readonly server: string;
  readonly nodes: readonly { name: string; release: string; state: string }[];
  readonly inFlight: { started: string; target: string | undefined; snapshotPath: string | undefined } | null;
  readonly dispatched: string | null;
  readonly atWork: { identity: string; since: string } | null;
  readonly halted: string | null;
  readonly jobs: readonly { name: string | undefined; state: string }[];
}

function asText(status: Status): string {
  const { inFlight, atWork } = status;
  const width = Math.max(...status.nodes.map((node) => node.name.length));
  const lines = [
    `API server  ${status.server}`,
    ...status.nodes.map((node) => `${node.name.padEnd(width)}  ${node.release}  ${node.state}`),
    `in flight   ${inFlight ? `${inFlight.target ?? 'unknown target'} since ${inFlight.started}, snapshot ${inFlight.snapshotPath ?? 'not taken'}` : 'no'}`,
    `running     ${atWork ? `${atWork.identity} since ${atWork.since}` : 'nobody'}`,
    `halted      ${status.halted ?? 'no'}`,
    `dispatched  ${status.dispatched ?? 'nothing waiting'}`,
    ...status.jobs.map((job) => `job         ${job.name} ${job.state}`),
  ];
  return `${lines.join('\n')}\n`;
}
