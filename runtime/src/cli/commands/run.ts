import { exitCodes } from '../../errors.ts';
import { newRunId } from '../../jobs/next-job.ts';
import { execute } from '../../upgrade/execute.ts';
import { type RequestOptions, readRequest } from '../request-options.ts';
import { type CommonOptions, openSession } from '../session.ts';

/** Options of `run`. */
export interface RunOptions extends CommonOptions, RequestOptions {
  /** Identifies the run to which this Job belongs. @default a new run */
  readonly runId?: string;
  /** Number of this Job in its run. @default 1 */
  readonly leg?: string;
}

/** `k8s-upgrade run`: executes an upgrade in this process. Running it again resumes an unfinished one. */
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
