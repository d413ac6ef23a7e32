import { exitCodes } from '../../errors.ts';
import { newRunId } from '../../jobs/next-job.ts';
import { execute } from '../../upgrade/execute.ts';
import { type RequestOptions, readRequest } from '../request-options.ts';
import { type CommonOptions, openSession } from '../session.ts';

export interface RunOptions extends CommonOptions, RequestOptions {
  readonly runId?: string;
  readonly leg?: string;
}

export async function runCommand(options: RunOptions): Promise<void> {
  const request = readRequest(options);
  const session = openSession(options, 'finish');
  const { outcome } = await execute({
    ...session,
    request,
    runId: options.runId ?? newRunId(request.target),
    jobNumber: Number(options.leg ?? 1),
    stop: session.signals.stop,
  });
  process.exitCode = exitCodes[outcome];
}
