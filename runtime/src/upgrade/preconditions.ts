import type { ClusterNode } from '../cluster/nodes.ts';
import { BlockedError } from '../errors.ts';
import { isInterrupted } from '../gates/alerts.ts';
import { controlPlaneFirst } from '../gates/versions.ts';
import type { InFlight } from '../rollout/journal.ts';
import type { StageName } from '../rollout/stages.ts';
import type { Context } from './context.ts';
import { changingStages } from './stages/index.ts';
import { waitForGates } from './wait-for-gates.ts';

const stageOf = (node: ClusterNode): StageName => (node.controlPlane ? 'master' : 'workers');

/**
 * What has to be so before the first node is changed: nothing that an earlier process began is still at work, is left out, or
 * comes in the wrong order.
 *
 * @throws BlockedError
 */
export async function checkOrder(ctx: Context, nodes: readonly ClusterNode[]): Promise<void> {
  const { stages } = ctx.request;
  const begun = nodes.filter(isInterrupted);
  const drains = stages.includes('master') || stages.includes('workers');
  const leftOut = begun.filter((node) => drains && !stages.includes(stageOf(node)));
  if (leftOut.length > 0) {
    const reasons = leftOut.map((node) => `${node.name} needs the stage ${stageOf(node)}`);
    throw new BlockedError('an earlier run began nodes and did not finish them', reasons, {
      hint: 'Ask for these stages too, or for all: what was begun is finished first.',
    });
  }
  if (stages.includes('workers') && !stages.includes('master'))
    await waitForGates(ctx, [controlPlaneFirst], 'before the first stage');
  if (stages.some((name) => changingStages.includes(name))) await awaitScripts(ctx, begun);
}

/** A script outlives the process that started it. Until it has ended, kubeadm would run on two nodes. */
async function awaitScripts(ctx: Context, begun: readonly ClusterNode[]): Promise<void> {
  for (const node of begun) await ctx.shell.ended(node, 'update_k8s', ctx.settings.timing.script);
}

/**
 * A snapshot for another target would take the place of the mark of a rollout in flight, and be no beginning of one itself.
 *
 * @throws BlockedError
 */
export function checkMark({ request }: Context, inFlight: InFlight | undefined): void {
  const { target, stages } = request;
  const { target: marked } = inFlight ?? {};
  if (marked === undefined || marked === target || !stages.includes('snapshot')) return;
  if (stages.some((name) => changingStages.includes(name))) return;
  throw new BlockedError('another rollout is in flight', [`to ${marked}, and this is for ${target}`], {
    hint: `Ask for ${marked}, or finish that first; k8s-upgrade clear forgets it.`,
  });
}
