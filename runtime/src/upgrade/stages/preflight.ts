import { BlockedError } from '../../errors.ts';
import { drainGate } from '../../gates/drain.ts';
import type { Verdict } from '../../gates/gate.ts';
import { joinGates, preflightGates } from '../../gates/index.ts';
import { askGates, type Context, type StageWork } from '../context.ts';
import { held, reasonsOf, waitForGates } from '../wait-for-gates.ts';

export const preflight: StageWork = {
  skipReason: async () => undefined,
  async run(ctx) {
    // A rollout under way has shaken the cluster itself: give it the time that a drain would give it.
    if (await ctx.journal.read()) {
      const verdicts = await waitForGates(ctx, preflightGates, 'before continuing');
      // The rest was told when it began; which pods will go is told before every cordon of a process.
      reportNotes(
        ctx,
        verdicts.filter(({ gate }) => gate === drainGate.name),
      );
    } else await judgeOnce(ctx);
    return 'done';
  },
  async catchUp(ctx, node) {
    await waitForGates(ctx, joinGates, `before ${node.name}, which has joined`);
  },
};

function reportNotes(ctx: Context, verdicts: readonly Verdict[]): void {
  for (const text of verdicts.flatMap((v) => v.notes.map((note) => `${v.gate}: ${note}`))) {
    ctx.report.emit({ type: 'notice', text });
  }
}

async function judgeOnce(ctx: Context): Promise<void> {
  const verdicts = await askGates(ctx, preflightGates);
  reportNotes(ctx, verdicts);
  // With nothing changed yet, a setting that points at the wrong thing is for whoever wrote it.
  for (const { badInput } of verdicts) if (badInput !== undefined) throw badInput;
  const closed = verdicts.filter((verdict) => !verdict.open);
  if (closed.length === 0) return;
  const reasons = reasonsOf(closed);
  if (closed.every((verdict) => verdict.outcomeWhenClosed === 'held')) {
    throw held('preflight holds', reasons);
  }
  throw new BlockedError('preflight refuses, nothing was changed', reasons, {
    hint: 'Clear what is named, then run again.',
  });
}
