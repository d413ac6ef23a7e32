import { formatDuration } from '../duration.ts';
import { isChanged } from '../rollout/node-annotations.ts';
import type { Gate } from './gate.ts';

/** Closed while a node's readiness has changed within `gates.quietPeriod`. */
export const quiet: Gate = {
  name: 'quiet',
  summary: 'no node came or went in the quiet period before this rollout started',
  outcomeWhenClosed: 'held',
  async check({ nodes, settings, inFlight }) {
    // Stopping now would leave nodes unfinished, and the gate was open before the first one was changed.
    if (nodes.some((n) => isChanged(n, inFlight)))
      return { reasons: [], notAsked: 'not checked: the upgrade of the nodes has started' };
    const since = Date.now() - settings.gates.quietPeriod;
    // The gate `alerts` covers what has happened since the rollout started.
    const until = inFlight?.startedAt ?? Number.POSITIVE_INFINITY;
    const recent = nodes.filter((n) => n.readySince > since && n.readySince < until);
    return {
      reasons: recent.map((n) => {
        const ago = formatDuration(Date.now() - n.readySince);
        return `node ${n.name} became ${n.ready ? 'Ready' : 'not Ready'} ${ago} ago, within the quiet period of ${formatDuration(settings.gates.quietPeriod)}`;
      }),
    };
  },
};
