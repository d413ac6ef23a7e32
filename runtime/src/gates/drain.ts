import { podName } from '../cluster/pods.ts';
import { judgePods } from '../drain/drain.ts';
import { evictionRefusals } from '../drain/refusals.ts';
import type { Gate } from './gate.ts';

/** Lists all pods that a rollout may delete in one note, and so in one Slack message. */
const inOneNote = (deletions: readonly string[]): string[] =>
  deletions.length === 0
    ? []
    : [
        `${deletions.length === 1 ? 'one pod' : `${deletions.length} pods`} will be deleted if the eviction stays refused:${deletions.map((text) => `\n  - ${text}`).join('')}`,
      ];

/** Tries every eviction of every node that is left, with `dryRun=All`. Changes nothing. */
export const drainGate: Gate = {
  name: 'drain',
  summary: 'every node that is left can be drained: no PodDisruptionBudget rules it out permanently',
  outcomeWhenClosed: 'blocked',
  async check(ctx) {
    const { cluster, client, settings } = ctx;
    const [budgets, left] = await Promise.all([cluster.budgets(), ctx.remaining()]);
    const judged = (await Promise.all(left.nodes.map((node) => judgePods(client, node.name)))).flat();
    const refused = judged.filter((one) => one.verdict.action === 'refuse');
    const leaving = judged.filter((one) => one.verdict.action === 'evict').map((one) => one.pod);
    const { blockedPods } = settings.drain;
    const { fatal, temporary, deletions } = await evictionRefusals(client, leaving, budgets, blockedPods);
    return {
      reasons: [
        ...refused.map(({ pod, verdict }) => `${podName(pod)} on ${pod.spec?.nodeName}: ${verdict.why}`),
        ...fatal,
      ],
      notes: [...inOneNote(deletions), ...temporary],
    };
  },
};
