import type { Observation } from '../cluster/observation.ts';
import { BlockedError, UpgradeError } from '../errors.ts';
import type { Gate, Verdict } from '../gates/gate.ts';
import { longestWait, type Settings } from '../settings/settings.ts';
import { pause, within } from '../wait.ts';
import { type Context, verdictsOf } from './context.ts';

/** Every reason of the closed gates, prefixed with the gate's name. */
export const reasonsOf = (verdicts: readonly Verdict[]): string[] =>
  verdicts.flatMap((v) => v.reasons.map((reason) => `${v.gate}: ${reason}`));

/** The same reasons are reported once. Those of a gate that only needs time change as it passes. */
export const reasonsKey = (closed: readonly Verdict[]): string =>
  closed.flatMap((v) => (v.opensAt === undefined ? v.reasons : [`${v.gate} ${v.reasons.length}`])).join();

/**
 * Until when the gate is waited for, epoch milliseconds: a few checks longer than it says.
 *
 * @param latest a later time does not count.
 * @returns 0 when it must not be waited for.
 */
export const opensWithin = ({ opensAt }: Verdict, { gates }: Settings, latest: number): number =>
  opensAt === undefined ? 0 : Math.min(opensAt + 4 * gates.alertInterval, latest);

/** Shortest time between two checks of closed gates, however often the cluster changes. Milliseconds. */
const shortestPause = 1_000;

/**
 * Waits until all gates are open, at most `gates.alertWait`, or twice as long for one that only needs time.
 * Reports the reasons, again when they change.
 * Checks again when the cluster changes in what the gates observe, at most once a second, and every
 * `gates.alertInterval` for what cannot be observed, such as alerts.
 *
 * @param what completes “stopped …”: `before the drain of k8s-node2`.
 * @returns the verdicts, all open.
 * @throws BlockedError with all reasons after the wait, or at once when waiting cannot open a closed gate;
 *   UpgradeError (held) when only time opens them.
 */
export async function waitForGates(ctx: Context, gates: readonly Gate[], what: string): Promise<Verdict[]> {
  const wait = within(ctx.settings.gates.alertWait, ctx.signal);
  const latest = Date.now() + longestWait(ctx.settings);
  const deadlineOf = (verdict: Verdict) =>
    Math.max(wait.deadline, opensWithin(verdict, ctx.settings, latest));
  const { alertInterval } = ctx.settings.gates;
  const observed = [...new Set(gates.flatMap((gate) => gate.observes ?? []))];
  let reported = '';
  let observation: Observation | undefined;
  for (;;) {
    const earliest = Date.now() + Math.min(shortestPause, alertInterval);
    const verdicts = await verdictsOf(ctx, gates);
    const closed = verdicts.filter((verdict) => !verdict.open);
    if (closed.length === 0) return verdicts;
    const deadline = Math.min(...closed.map(deadlineOf));
    if (Date.now() >= deadline || closed.some((v) => !v.opensByWaiting && !v.unknown)) {
      throw stopped(closed, what);
    }
    if (reasonsKey(closed) !== reported) {
      reportWaiting(ctx, closed, deadline);
      reported = reasonsKey(closed);
    }
    const next = { ...wait, deadline: Math.min(deadline, Date.now() + alertInterval) };
    // The check right after this finds what has changed before the observation started.
    if (observation === undefined) observation = await ctx.cluster.observe(observed);
    else await observation.next(next);
    await pause(earliest - Date.now(), { ...wait, deadline });
  }
}

/** Reports that these gates are waited for. @param until epoch milliseconds. */
export function reportWaiting(ctx: Context, closed: readonly Verdict[], until: number): void {
  const reasons = reasonsOf(closed);
  ctx.report.emit({ type: 'waiting', reasons, until: new Date(until).toISOString() });
}

/**
 * Held when only time opens the closed gates, otherwise blocked (F15), also when a gate had all the time that
 * it said it needs.
 */
function stopped(closed: readonly Verdict[], what: string): UpgradeError {
  const reasons = reasonsOf(closed);
  if (closed.some((v) => v.outcomeWhenClosed !== 'held' || v.opensAt !== undefined)) {
    return new BlockedError(`stopped ${what}`, reasons, {
      hint: 'Fix these; the next run continues from here.',
    });
  }
  return held(`held ${what}`, reasons);
}

/** The error for gates that only time opens. */
export const held = (what: string, reasons: readonly string[]): UpgradeError =>
  new UpgradeError('held', `${what}:\n${reasons.map((reason) => `  - ${reason}`).join('\n')}`, {
    hint: 'There is nothing to do but wait; the next run checks again.',
  });

/** Reports what the gates have noted. */
export function reportNotes(ctx: Context, verdicts: readonly Verdict[]): void {
  for (const text of verdicts.flatMap((v) => v.notes.map((note) => `${v.gate}: ${note}`))) {
    ctx.report.emit({ type: 'notice', text });
  }
}
