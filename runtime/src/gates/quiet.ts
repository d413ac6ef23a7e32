import { formatDuration } from '../duration.ts';
import { isChanged } from '../rollout/node-marks.ts';
import type { Gate } from './gate.ts';

export const quiet: Gate = {
  name: 'quiet',
  summary: 'no node came or went lately, before this rollout began',
  outcomeWhenClosed: 'held',
  async check({ nodes, settings, inFlight }) {
    // Standing half way is worse than going on, and a rollout that is under way was asked when it began.
    if (nodes.some((n) => isChanged(n, inFlight)))
      return { reasons: [], notAsked: 'not asked: nodes are half way to the target' };
    const since = Date.now() - settings.gates.quietPeriod;
    // What has happened since its beginning is for the alerts to judge.
    const until = inFlight?.startedAt ?? Number.POSITIVE_INFINITY;
    const restless = nodes.filter((n) => n.readySince > since && n.readySince < until);
    return {
      reasons: restless.map((n) => {
        const ago = formatDuration(Date.now() - n.readySince);
        return `node ${n.name} became ${n.ready ? 'Ready' : 'not Ready'} ${ago} ago; quiet means ${formatDuration(settings.gates.quietPeriod)}`;
      }),
    };
  },
};
