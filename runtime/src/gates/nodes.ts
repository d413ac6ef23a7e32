import { isInProgressOf } from '../rollout/node-marks.ts';
import type { Gate } from './gate.ts';

export const nodesGate: Gate = {
  name: 'nodes',
  summary: 'every node is Ready, without pressure, and at the beginning every listed node exists',
  outcomeWhenClosed: 'blocked',
  opensByWaiting: true,
  async check({ cluster, nodes, settings, inFlight }) {
    const unreadable = await cluster.unreadableNodes();
    const listed = [...settings.nodes.controlPlane, ...settings.nodes.workers];
    const absent = listed.filter((name) => !nodes.some((node) => node.name === name));
    const ours = nodes.filter((n) => !n.ready && isInProgressOf(n, inFlight));
    const missed = absent.map((name) => `node ${name} is in the settings and not in the cluster`);
    return {
      reasons: [
        // A mistake when a rollout begins; later the node has gone, and nothing is left to be done on it.
        ...(inFlight === undefined ? missed : []),
        ...unreadable.map((one) => one.message),
        ...nodes.filter((n) => !n.ready && !ours.includes(n)).map((n) => `node ${n.name} is not Ready`),
        ...nodes.flatMap((n) => n.pressures.map((pressure) => `node ${n.name} has ${pressure}`)),
      ],
      notes: [
        ...(inFlight === undefined ? [] : missed),
        ...ours.map((n) => `node ${n.name} is not Ready; this rollout was interrupted there and resumes`),
        ...nodes
          .filter((n) => n.unschedulable && !n.cordonedByUs)
          .map((n) => `node ${n.name} was cordoned by somebody and stays so`),
      ],
    };
  },
};
