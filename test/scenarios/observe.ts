import { setTimeout as sleep } from 'node:timers/promises';
import { parseDuration } from '../../runtime/src/duration.ts';
import { jobLabels, objectNames } from '../../runtime/src/names.ts';
import type { Job, Lease, Namespace, Node, Pod } from '../lab/api/types.ts';
import type { AnyLab, Lab } from '../lab/lab.ts';
import type { LabNode } from '../lab/nodes/node.ts';

/** What tests ask of a lab. Read from its API server and its nodes, not from what the program says. */

export interface NodeState {
  readonly name: string;
  /** What the kubelet reports. */
  readonly release: string;
  readonly unschedulable: boolean;
  readonly annotations: Readonly<Record<string, string>>;
}

type WithNodes = { readonly nodes: ReadonlyMap<string, LabNode> };

interface ClusterState {
  /** By name. */
  readonly nodes: readonly NodeState[];
  /** Annotations of the pipeline's namespace. */
  readonly namespace: Readonly<Record<string, string>>;
  /** Holder of the lease; empty when released, undefined when there never was one. */
  readonly lease: string | undefined;
}

export async function cluster({ api }: Pick<AnyLab, 'api'>): Promise<ClusterState> {
  const [nodes, namespace, lease] = await Promise.all([
    api.list('nodes'),
    api.get('namespaces', undefined, objectNames.namespace),
    api.get('leases', objectNames.namespace, objectNames.lease),
  ]);
  return stateOf(nodes, namespace, lease);
}

/** What is made of the objects, for those who have them at hand. */
export function stateOf(
  nodes: readonly Node[],
  namespace: Namespace | undefined,
  lease: Lease | undefined,
): ClusterState {
  const states = nodes.map((node) => ({
    name: node.metadata.name,
    release: node.status?.nodeInfo?.kubeletVersion.replace(/^v/, '') ?? '',
    unschedulable: node.spec?.unschedulable ?? false,
    annotations: node.metadata.annotations ?? {},
  }));
  return {
    nodes: states.sort((a, b) => a.name.localeCompare(b.name)),
    namespace: namespace?.metadata.annotations ?? {},
    lease: lease?.spec?.holderIdentity,
  };
}

/** The nodes that the program has cordoned, in order, once for each cordon. */
export async function drained(lab: Pick<AnyLab, 'api' | 'cordons'>): Promise<string[]> {
  await lab.api.caughtUp();
  return cordonedNodes(lab.cordons);
}

export const cordonedNodes = (cordons: Lab['cordons']): string[] =>
  cordons.filter((one) => one.unschedulable).map((one) => one.node);

/** Pairs of nodes on which `kubeadm upgrade apply|node` ran at the same time. */
export function kubeadmOverlaps(lab: WithNodes): string[] {
  const runs = [...lab.nodes.values()].flatMap((node) =>
    node.history
      .filter(
        ({ program, args }) =>
          program === 'kubeadm' && args[0] === 'upgrade' && (args[1] === 'apply' || args[1] === 'node'),
      )
      .map(({ start, end = Number.POSITIVE_INFINITY }) => ({ node: node.name, start, end })),
  );
  return runs.flatMap((a, i) =>
    runs
      .slice(i + 1)
      .filter((b) => a.start < b.end && b.start < a.end)
      .map((b) => `${a.node}+${b.node}`),
  );
}

/** Slack messages with which a run ended this way. */
export const slackEnds = (lab: Pick<Lab, 'slack'>, outcome: string): string[] =>
  lab.slack.messages.map(({ text }) => text).filter((text) => text.includes(`: ${outcome}: upgrade`));

/** Programs that change a node, as they were called. */
export function changesByPrograms(lab: WithNodes): string[] {
  const changing = (program: string, args: readonly string[]) =>
    (program === 'apt-get' && args.includes('install')) ||
    program === 'apt-mark' ||
    (program === 'systemctl' && args[0] === 'restart') ||
    (program === 'etcdctl' && args.includes('save')) ||
    (program === 'kubeadm' && args[0] === 'upgrade' && (args[1] === 'apply' || args[1] === 'node'));
  return [...lab.nodes.values()].flatMap((node) =>
    node.history
      .filter((run) => changing(run.program, run.args))
      .map((run) => `${node.name}: ${run.program} ${run.args.join(' ')}`),
  );
}

/** Nodes whose package lists were fetched again: what detection does, and what only looks does not. */
export const refreshed = (lab: WithNodes): string[] =>
  [...lab.nodes.values()]
    .filter((node) => node.history.some((run) => run.program === 'apt-get' && run.args.includes('update')))
    .map((node) => node.name);

/** Every change of a cordon up to now. */
export async function cordonChanges(lab: Pick<AnyLab, 'api' | 'cordons'>): Promise<Lab['cordons']> {
  await lab.api.caughtUp();
  return lab.cordons;
}

/** The Jobs of all runs. */
export async function jobsOfRuns({ api }: Pick<AnyLab, 'api'>): Promise<Job[]> {
  const jobs = await api.list('jobs', objectNames.namespace);
  return jobs.filter((job) => job.metadata.labels?.[jobLabels.run]);
}

/** The pod of a run that runs now. @throws Error when there is none. */
export async function runningPod({ api }: Pick<AnyLab, 'api'>): Promise<Pod> {
  const pods = await api.list('pods', objectNames.namespace);
  const pod = pods.find((one) => one.metadata.labels?.[jobLabels.run] && one.status?.phase === 'Running');
  if (pod === undefined) throw new Error('no pod of a run is running');
  return pod;
}

/**
 * Resolves once a lease that nobody renews any more has run out.
 *
 * @throws Error when the settings have no readable `timing.lease`.
 */
export async function leaseHasRunOut({ settings }: Pick<AnyLab, 'settings'>): Promise<void> {
  const written = settings.timing?.lease;
  const lease = parseDuration(written ?? '');
  if (lease === undefined) throw new Error(`timing.lease of the lab's settings is ${written}`);
  await sleep(lease + 500);
}
