import { BlockedError } from '../../errors.ts';
import { preflightGates } from '../../gates/gates.ts';
import { askGates, type Context, type Stage } from '../context.ts';
import { held, reasonsOf, waitForGates } from '../wait-for-gates.ts';

export const preflight: Stage = {
  name: 'preflight',
  summary: 'ask every gate before anything is touched',
  idle: async () => undefined,
  async run(ctx) {
    // A rollout under way has shaken the cluster itself: give it the time that a drain would give it.
    if (await ctx.journal.read()) await waitForGates(ctx, preflightGates, 'before going on');
    else await judgeOnce(ctx);
    return 'done';
  },
};

async function judgeOnce(ctx: Context): Promise<void> {
  const verdicts = await askGates(ctx, preflightGates);
  for (const text of verdicts.flatMap((v) => v.notes.map((note) => `${v.gate}: ${note}`))) {
    ctx.report.emit({ type: 'notice', text });
  }
  const closed = verdicts.filter((verdict) => !verdict.open);
  if (closed.length === 0) return;
  const reasons = reasonsOf(closed);
  if (closed.every((verdict) => verdict.closes === 'held')) {
    throw held('preflight holds', reasons);
  }
  throw new BlockedError('preflight refuses, nothing was touched', reasons, {
    hint: 'Clear what is named, then run again.',
  });
}
