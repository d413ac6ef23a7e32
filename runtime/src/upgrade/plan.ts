import { budgetsFor, describeBudget, neverAllows } from '../cluster/disruption-budgets.ts';
import { podName } from '../cluster/pods.ts';
import { judgePods } from '../drain/drain.ts';
import { describeDeletion, ruleFor } from '../drain/rules.ts';
import { remaining } from '../rollout/remaining.ts';
import { isRolledBy } from '../rollout/stages.ts';
import type { Context } from './context.ts';
import { drainsFirst } from './nodes/order.ts';
import { stagesOf } from './stages/index.ts';

/** What a run would do, one line each: the stages, the nodes that it drains, the pods that it may delete. */
export async function planSteps(ctx: Context): Promise<string[]> {
  const left = await remaining(ctx.cluster, ctx.request.target);
  const steps: string[] = [];
  for (const stage of stagesOf(ctx.request.stages)) {
    const { name, summary } = stage;
    const why = await stage.skipReason(ctx);
    steps.push(`${name.padEnd(10)}  ${why === undefined ? summary : `nothing to do: ${why}`}`);
    for (const node of left.nodes.filter((one) => isRolledBy(stage, one))) {
      const cordon = node.unschedulable && !node.cordonedByUs ? ', stays cordoned' : '';
      const order = drainsFirst(ctx, node) ? 'drain, kubeadm, kubelet' : 'kubeadm, drain, kubelet';
      steps.push(
        `${''.padEnd(10)}    ${node.name}  ${node.release} → ${ctx.request.target}: fetch packages and images, ${order}, Ready${cordon}`,
        ...(await deletionsOn(ctx, node.name)).map((text) => `${''.padEnd(10)}      ${text}`),
      );
    }
  }
  return steps;
}

/** The pods of a node whose eviction a budget never allows and that `drain.blockedPods` names. */
async function deletionsOn(ctx: Context, node: string): Promise<string[]> {
  const { blockedPods } = ctx.settings.drain;
  if (blockedPods.length === 0) return [];
  const budgets = await ctx.cluster.budgets();
  const judged = await judgePods(ctx.client, node);
  return judged.flatMap(({ pod, verdict }) => {
    const own = budgetsFor(pod, budgets);
    const never = own.filter(neverAllows);
    const rule = ruleFor(pod, own, blockedPods);
    if (verdict.action !== 'evict' || rule === undefined || never.length === 0) return [];
    const holder = never.map(describeBudget).join(' and ');
    return [
      `pod ${podName(pod)}, held by PodDisruptionBudget ${holder}: ${describeDeletion(rule, blockedPods)}`,
    ];
  });
}
