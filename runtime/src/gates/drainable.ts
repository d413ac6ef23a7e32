import { podName } from '../cluster/pods.ts';
import { judgePods } from '../drain/drain.ts';
import { evictionRefusals } from '../drain/refusals.ts';
import { isInterrupted } from './alerts.ts';
import type { Gate } from './gate.ts';
import { pendingNodes } from './versions.ts';

/** The pods that a rollout may delete are one note, so that they are one message. */
const inOneNote = (deletions: readonly string[]): string[] =>
  deletions.length === 0
    ? []
    : [
        `${deletions.length === 1 ? 'one pod' : `${deletions.length} pods`} will be deleted where the eviction stays refused:${deletions.map((text) => `\n  - ${text}`).join('')}`,
      ];

export const drainability: Gate = {
  name: 'drain',
  summary: 'every node that is left can be drained: no PodDisruptionBudget forbids it for ever',
  closes: 'blocked',
  async check(ctx) {
    const { cluster, client, nodes, settings } = ctx;
    const [budgets, left] = await Promise.all([cluster.budgets(), pendingNodes(ctx)]);
    // One that was interrupted is drained again, whatever release it has reached.
    const pending = nodes.filter((node) => left.includes(node) || isInterrupted(node));
    const judged = (await Promise.all(pending.map((node) => judgePods(client, node.name)))).flat();
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
