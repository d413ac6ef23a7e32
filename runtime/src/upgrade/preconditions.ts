import type { ClusterNode } from '../cluster/nodes.ts';
import { BlockedError } from '../errors.ts';
import { workersAloneGates } from '../gates/index.ts';
import type { InFlight } from '../rollout/journal.ts';
import { isInProgress } from '../rollout/node-annotations.ts';
import { isRollout, rowsOf, stageThatRolls } from '../rollout/stages.ts';
import type { Context } from './context.ts';
import { waitForGates } from './wait-for-gates.ts';

/**
 * Checks, before the first node is changed, that the stages include every unfinished node and that the
 * control plane comes before the workers. Then waits for scripts that an earlier process started.
 *
 * @throws BlockedError
 */
export async function checkOrder(ctx: Context, nodes: readonly ClusterNode[]): Promise<void> {
  const { stages } = ctx.request;
  const inProgress = nodes.filter(isInProgress);
  const rolled = rowsOf(stages)
    .map(({ rolls }) => rolls)
    .filter((rolls) => rolls !== undefined);
  const leftOut = inProgress.filter(
    (node) => rolled.length > 0 && !stages.includes(stageThatRolls(node).name),
  );
  if (leftOut.length > 0) {
    const reasons = leftOut.map((node) => `${node.name} needs the stage ${stageThatRolls(node).name}`);
    throw new BlockedError('an earlier run left nodes unfinished', reasons, {
      hint: 'Add these stages, or run all of them: unfinished nodes come first.',
    });
  }
  if (rolled.includes('workers') && !rolled.includes('control plane'))
    await waitForGates(ctx, workersAloneGates, 'before the first stage');
  if (isRollout(stages)) await awaitScripts(ctx, inProgress);
}

/** A script outlives its process. Without this wait, kubeadm could run on two nodes at once. */
async function awaitScripts(ctx: Context, inProgress: readonly ClusterNode[]): Promise<void> {
  for (const node of inProgress) await ctx.shell.waitForEnd(node, 'update_k8s', ctx.settings.timing.script);
}

/**
 * Refuses a run that only takes a snapshot, for another target than the rollout in flight: it would replace
 * that rollout's snapshot without starting a rollout itself.
 *
 * @throws BlockedError
 */
export function checkInFlight({ request }: Context, inFlight: InFlight | undefined): void {
  const { target, stages } = request;
  const { target: unfinished } = inFlight ?? {};
  if (unfinished === undefined || unfinished === target || isRollout(stages)) return;
  if (!rowsOf(stages).some(({ rollout }) => rollout === 'snapshot')) return;
  throw new BlockedError('another rollout is in flight', [`to ${unfinished}; this run is for ${target}`], {
    hint: `Run for ${unfinished}, or finish that rollout first; k8s-upgrade clear abandons it.`,
  });
}
