import { clusterWriter } from '../../cluster/writer.ts';
import { decide } from '../../detect/detect.ts';
import { exitCodes } from '../../errors.ts';
import { preflightGates } from '../../gates/index.ts';
import { Report } from '../../report/events.ts';
import { logSink } from '../../report/log.ts';
import type { UpgradeRequest } from '../../rollout/request.ts';
import { stageNames } from '../../rollout/stages.ts';
import { checkRequest } from '../../upgrade/check-request.ts';
import { verdictsOf } from '../../upgrade/context.ts';
import { openContext } from '../../upgrade/execute.ts';
import { planSteps } from '../../upgrade/plan.ts';
import { detectContext } from '../detect-context.ts';
import { isRequested, type RequestOptions, readRequest } from '../request-options.ts';
import { type CommonOptions, openSession, type Session } from '../session.ts';

/** Options of `plan`; without a request it plans what detection would choose. */
export type PlanOptions = CommonOptions & RequestOptions;

/** `k8s-upgrade plan`: prints the steps and the state of every gate. Exit code 3 when a gate blocks. */
export async function planCommand(options: PlanOptions): Promise<void> {
  const requested = isRequested(options) ? readRequest(options) : undefined;
  const session = openSession(options);
  const request = requested ?? (await chosenRequest(session));
  if (request === undefined) return;
  const { stop } = session.signals;
  const report = new Report(() => {});
  report.add(logSink(session.logger));
  const execution = { ...session, request: { ...request, dryRun: true }, runId: 'plan', jobNumber: 1, stop };
  const ctx = await openContext(execution, report);
  await checkRequest(ctx);
  const print = (line: string) => process.stdout.write(`${line}\n`);
  print(`${request.kind} upgrade to ${request.target}`);
  for (const step of await planSteps(ctx)) print(`  ${step}`);
  print('gates');
  const verdicts = await verdictsOf(ctx, preflightGates);
  for (const { gate, summary, open, outcomeWhenClosed, reasons, notes, notAsked } of verdicts) {
    const state = open ? 'open  ' : outcomeWhenClosed === 'held' ? 'HELD  ' : 'CLOSED';
    print(`  ${state}  ${open && notAsked === undefined ? `${gate.padEnd(13)}  ${summary}` : gate}`);
    const lines = [
      ...(notAsked === undefined ? [] : [notAsked]),
      ...reasons,
      ...notes.map((note) => `note: ${note}`),
    ];
    for (const line of lines) print(`            ${line}`);
  }
  const closed = verdicts.filter((verdict) => !verdict.open);
  const blocked = closed.some((verdict) => verdict.outcomeWhenClosed === 'blocked');
  print(
    closed.length === 0 ? 'every gate is open' : `${closed.length} of ${verdicts.length} gates are closed`,
  );
  process.exitCode = blocked ? exitCodes.blocked : exitCodes.done;
}

/** The request that detection would make. If there is none, prints that and returns undefined. */
async function chosenRequest(session: Session): Promise<UpgradeRequest | undefined> {
  const writer = clusterWriter(session.client, session.settings.namespace, () => {});
  const { seen, decision } = await decide(await detectContext(session, writer, true));
  for (const { kind, release, reason } of decision.refused) {
    process.stdout.write(`skipping ${kind} ${release}: ${reason}\n`);
  }
  const { target } = decision;
  if (target) return { target: target.release, kind: target.kind, dryRun: true, stages: stageNames };
  process.stdout.write(`nothing to do: every kubelet runs at least ${seen.running}\n`);
  return undefined;
}
