import { BlockedError } from '../errors.ts';
import type { Verdict } from '../gates/gate.ts';
import { endOfSoakGates, soakGates } from '../gates/index.ts';
import { longestWait } from '../settings/settings.ts';
import { pause } from '../wait.ts';
import { type Context, verdictsOf } from './context.ts';
import { opensWithin, reasonsKey, reasonsOf, reportWaiting } from './wait-for-gates.ts';

/**
 * Checks the gates until a soak is over: its time has passed, and no gate waits for more. A closed gate stops
 * the rollout at once, unless its answer is unknown, as while Prometheus itself moves to another node, or
 * time will tell, as with a pending alert: such a gate is waited for, and reported once.
 *
 * @param end of its time, in ms since the epoch.
 * @throws BlockedError when a gate is closed, or one that was waited for has not opened in time.
 */
export async function soakUntil(ctx: Context, node: string, end: number): Promise<void> {
  const { alertWait, alertInterval } = ctx.settings.gates;
  const latest = Math.max(end, Date.now()) + longestWait(ctx.settings);
  let unknownSince: number | undefined;
  let reported = '';
  for (;;) {
    const now = Date.now();
    const isOver = now >= end;
    const closed = (await verdictsOf(ctx, isOver ? endOfSoakGates : soakGates)).filter(({ open }) => !open);
    if (isOver && closed.length === 0) return;
    unknownSince = closed.some(({ unknown }) => unknown) ? (unknownSince ?? now) : undefined;
    const deadlineOf = (verdict: Verdict) =>
      verdict.unknown ? (unknownSince ?? now) + alertWait : opensWithin(verdict, ctx.settings, latest);
    const deadline = Math.min(...closed.map(deadlineOf));
    if (now >= deadline) throw stoppedIn(node, closed);
    const key = reasonsKey(closed);
    if (closed.length > 0 && key !== reported) reportWaiting(ctx, closed, deadline);
    reported = key;
    await pause(alertInterval, { deadline: isOver ? deadline : end, signal: ctx.signal });
  }
}

const stoppedIn = (node: string, closed: readonly Verdict[]): BlockedError =>
  new BlockedError(`stopped in the soak of ${node}`, reasonsOf(closed), {
    hint: `${node} itself is upgraded. Fix these; the next run continues with the next node.`,
  });
