import { BlockedError } from '../../errors.ts';
import { drainGate } from '../../gates/drain.ts';
import type { Verdict } from '../../gates/gate.ts';
import { joinGates, preflightGates } from '../../gates/index.ts';
import { describeCordon, nodesGate } from '../../gates/nodes.ts';
import { longestWait } from '../../settings/settings.ts';
import { pause } from '../../wait.ts';
import { type Context, type StageWork, verdictsOf } from '../context.ts';
import { held, reasonsOf, reportNotes, reportWaiting, waitForGates } from '../wait-for-gates.ts';

/** Checks every gate. During a rollout it waits for them; before one it decides at once. */
export const preflight: StageWork = {
  skipReason: async () => undefined,
  async run(ctx) {
    // A rollout in progress disturbs the cluster itself, so wait as long as before a drain.
    if (await ctx.journal.read()) {
      const verdicts = await waitForGates(ctx, preflightGates, 'before continuing');
      // The other notes were reported at the start. Each process reports which pods it may delete.
      reportNotes(
        ctx,
        verdicts.filter(({ gate }) => gate === drainGate.name),
      );
      await reportEarlierCordons(ctx);
    } else await judgeOnce(ctx);
    return 'done';
  },
  async catchUp(ctx, node) {
    await waitForGates(ctx, joinGates, `before ${node.name}, which has joined`);
  },
};

/** The rollout before may have left a cordon without a word to anybody (F11, F47). */
async function reportEarlierCordons({ cluster, report }: Context): Promise<void> {
  for (const node of await cluster.nodes())
    if (node.cordonedEarlier)
      report.emit({ type: 'notice', text: `${nodesGate.name}: ${describeCordon(node)}` });
}

/**
 * Waits, before anything is changed, for what only needs time, such as a Prometheus that has just started:
 * the next run would be a week later. Does not wait in a dry-run, for longer than `longestWait`, or when
 * another gate is closed.
 *
 * @returns whether it has waited.
 */
async function hasWaited(ctx: Context, verdicts: readonly Verdict[]): Promise<boolean> {
  const closed = verdicts.filter((verdict) => !verdict.open);
  const opensAt = Math.max(...closed.map((verdict) => verdict.opensAt ?? Number.POSITIVE_INFINITY));
  const time = opensAt - Date.now() + ctx.settings.gates.alertInterval;
  if (closed.length === 0 || ctx.request.dryRun || time > longestWait(ctx.settings)) return false;
  reportWaiting(ctx, closed, opensAt);
  await pause(time, { deadline: Number.POSITIVE_INFINITY, signal: ctx.signal });
  return true;
}

async function judgeOnce(ctx: Context): Promise<void> {
  const first = await verdictsOf(ctx, preflightGates);
  const verdicts = (await hasWaited(ctx, first)) ? await verdictsOf(ctx, preflightGates) : first;
  reportNotes(ctx, verdicts);
  // Nothing is changed yet, so a setting that points at the wrong server is bad input.
  for (const { badInput } of verdicts) if (badInput !== undefined) throw badInput;
  const closed = verdicts.filter((verdict) => !verdict.open);
  if (closed.length === 0) return;
  const reasons = reasonsOf(closed);
  if (closed.every((verdict) => verdict.outcomeWhenClosed === 'held')) {
    throw held('preflight holds the run', reasons);
  }
  throw new BlockedError('preflight refuses the run; nothing was changed', reasons, {
    hint: 'Fix these, then run again.',
  });
}
