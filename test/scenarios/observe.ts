import { objectNames } from '../../runtime/src/names.ts';
import type { Lab } from '../lab/lab.ts';

/** What tests ask of a lab. Read from its store and its nodes, not from what the program says. */

export interface NodeState {
  readonly name: string;
  /** What the kubelet reports. */
  readonly release: string;
  readonly unschedulable: boolean;
  readonly annotations: Readonly<Record<string, string>>;
}

interface ClusterState {
  /** By name. */
  readonly nodes: readonly NodeState[];
  /** Annotations of the pipeline's namespace. */
  readonly namespace: Readonly<Record<string, string>>;
  /** Holder of the lease; empty when released, undefined when there never was one. */
  readonly lease: string | undefined;
}

export function cluster(lab: Lab): ClusterState {
  const { store } = lab.api;
  const nodes = store.list('nodes').map((node) => ({
    name: node.metadata.name,
    release: node.status?.nodeInfo?.kubeletVersion.replace(/^v/, '') ?? '',
    unschedulable: node.spec?.unschedulable ?? false,
    annotations: node.metadata.annotations ?? {},
  }));
  return {
    nodes: nodes.sort((a, b) => a.name.localeCompare(b.name)),
    namespace: store.get('namespaces', undefined, objectNames.namespace)?.metadata.annotations ?? {},
    lease: store.get('leases', objectNames.namespace, objectNames.lease)?.spec?.holderIdentity,
  };
}

/** The nodes that the program has cordoned, in order, once for each cordon. */
export function drained(lab: Pick<Lab, 'cordons'>): string[] {
  return lab.cordons.filter((one) => one.unschedulable).map((one) => one.node);
}

/** Pairs of nodes on which `kubeadm upgrade apply|node` ran at the same time. */
export function kubeadmOverlaps(lab: Lab): string[] {
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
export const slackEnds = (lab: Lab, outcome: string): string[] =>
  lab.slack.messages.map(({ text }) => text).filter((text) => text.includes(`: ${outcome}: upgrade`));

/** Programs that change a node, as they were called. */
export function changesByPrograms(lab: Lab): string[] {
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

/** Nodes whose package lists were fetched anew: what detection does, and what only looks does not. */
export const refreshed = (lab: Lab): string[] =>
  [...lab.nodes.values()]
    .filter((node) => node.history.some((run) => run.program === 'apt-get' && run.args.includes('update')))
    .map((node) => node.name);
