import { BlockedError, UpgradeError } from '../errors.ts';
import type { Gate, Verdict } from '../gates/gate.ts';
import { pause, within } from '../wait.ts';
import { askGates, type Context } from './context.ts';

/** Every reason of the closed gates, each with its gate. */
export const reasonsOf = (verdicts: readonly Verdict[]): string[] =>
  verdicts.flatMap((v) => v.reasons.map((reason) => `${v.gate}: ${reason}`));

/**
 * Waits until all gates are open, at most `gates.alertWait`. Says once what it waits for, and again when that changes.
 *
 * @param what `before the drain of k8s-node2`.
 * @returns the verdicts, all open.
 * @throws BlockedError with all reasons at the end of the wait, or at once when a gate is closed that no waiting opens;
 *   UpgradeError (held) when only time does.
 */
export async function waitForGates(ctx: Context, gates: readonly Gate[], what: string): Promise<Verdict[]> {
  const wait = within(ctx.settings.gates.alertWait, ctx.signal);
  let reported = '';
  for (;;) {
    const verdicts = await askGates(ctx, gates);
    const closed = verdicts.filter((verdict) => !verdict.open);
    if (closed.length === 0) return verdicts;
    const reasons = reasonsOf(closed);
    if (Date.now() >= wait.deadline || closed.some((v) => !v.opensByWaiting && !v.unknown)) {
      throw stopped(closed, what);
    }
    if (reasons.join() !== reported) {
      ctx.report.emit({ type: 'waiting', reasons, until: new Date(wait.deadline).toISOString() });
      reported = reasons.join();
    }
    await pause(ctx.settings.gates.alertInterval, wait);
  }
}

/** Held when nothing but time opens what is closed, else blocked (F15). */
function stopped(closed: readonly Verdict[], what: string): UpgradeError {
  const reasons = reasonsOf(closed);
  if (closed.some((verdict) => verdict.outcomeWhenClosed !== 'held')) {
    return new BlockedError(`stopped ${what}`, reasons, {
      hint: 'Clear what is named; the next run continues from here.',
    });
  }
  return held(`held ${what}`, reasons);
}

/** There is nothing to do but wait. */
export const held = (what: string, reasons: readonly string[]): UpgradeError =>
  new UpgradeError('held', `${what}:\n${reasons.map((reason) => `  - ${reason}`).join('\n')}`, {
    hint: 'Nothing to do but wait; the next run asks again.',
  });

/**
 * Watches the gates for as long as a soak lasts. One closed gate ends the rollout; a gate that cannot tell, as while
 * Prometheus itself moves to another node, is waited for.
 */
export async function soakUntil(
  ctx: Context,
  gates: readonly Gate[],
  node: string,
  end: number,
): Promise<void> {
  const wait = { deadline: end, signal: ctx.signal };
  for (;;) {
    const closed = (await askGates(ctx, gates)).filter((verdict) => !verdict.open);
    if (closed.some((verdict) => !verdict.unknown)) {
      throw new BlockedError(`stopped in the soak of ${node}`, reasonsOf(closed), {
        hint: `${node} itself is upgraded. Clear what is named; the next run continues with the next node.`,
      });
    }
    if (closed.length > 0) await waitForGates(ctx, gates, `in the soak of ${node}`);
    if (Date.now() >= end) return;
    await pause(ctx.settings.gates.alertInterval, wait);
  }
}
