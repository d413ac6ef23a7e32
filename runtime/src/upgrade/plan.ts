import type { Context } from './context.ts';
import { isPending } from './node.ts';
import { stages } from './stages/index.ts';

/** What a run would do, in words: stage by stage, and node by node where it drains. */
export async function planSteps(ctx: Context): Promise<string[]> {
  const nodes = await ctx.cluster.nodes();
  const steps: string[] = [];
  for (const name of ctx.request.stages) {
    const why = await stages[name].idle(ctx);
    steps.push(`${name.padEnd(10)}  ${why === undefined ? stages[name].summary : `nothing to do: ${why}`}`);
    if (name !== 'master' && name !== 'workers') continue;
    const members = nodes.filter((node) => node.controlPlane === (name === 'master') && isPending(ctx, node));
    for (const node of members) {
      const cordon = node.unschedulable && !node.cordonedByUs ? ', stays cordoned' : '';
      steps.push(
        `${''.padEnd(10)}    ${node.name}  ${node.release} → ${ctx.request.target}: drain, upgrade, Ready${cordon}`,
      );
    }
  }
  return steps;
}
