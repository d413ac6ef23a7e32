import type { ClusterNode } from '../cluster/nodes.ts';
import { isInProgressOf } from '../rollout/node-annotations.ts';
import type { Gate } from './gate.ts';

/** A node that this rollout is upgrading need not be Ready. */
export const nodesGate: Gate = {
  name: 'nodes',
  summary: 'every node is Ready and without pressure; before a rollout every listed node exists',
  outcomeWhenClosed: 'blocked',
  opensByWaiting: true,
  observes: ['nodes'],
  async check({ cluster, nodes, settings, inFlight }) {
    const unreadable = await cluster.unreadableNodes();
    const listed = [...settings.nodes.controlPlane, ...settings.nodes.workers];
    const absent = listed.filter((name) => !nodes.some((node) => node.name === name));
    const ours = nodes.filter((n) => !n.ready && isInProgressOf(n, inFlight));
    const missing = absent.map((name) => `node ${name} is in the settings but not in the cluster`);
    return {
      reasons: [
        // Before a rollout this is a mistake. Later the node has left, and nothing remains to be done on it.
        ...(inFlight === undefined ? missing : []),
        ...unreadable.map((one) => one.message),
        ...nodes.filter((n) => !n.ready && !ours.includes(n)).map((n) => `node ${n.name} is not Ready`),
        ...nodes.flatMap((n) => n.pressures.map((pressure) => `node ${n.name} has ${pressure}`)),
      ],
      notes: [
        ...(inFlight === undefined ? [] : missing),
        ...ours.map(
          (n) => `node ${n.name} is not Ready; this rollout was interrupted there and resumes there`,
        ),
        ...nodes.filter((n) => n.unschedulable && !n.cordonedByUs).map(describeCordon),
      ],
    };
  },
};

/** Says of a cordon that is not this rollout's what becomes of it. */
export const describeCordon = ({ name, cordonedEarlier }: ClusterNode): string =>
  cordonedEarlier
    ? `node ${name} was cordoned by an earlier rollout or, after it, by a person, and stays cordoned: kubectl uncordon ${name} when it is fit`
    : `node ${name} was cordoned by a person and stays cordoned`;
