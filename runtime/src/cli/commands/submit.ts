import { clusterWriter } from '../../cluster/writer.ts';
import { exitCodes } from '../../errors.ts';
import { followRun } from '../../jobs/follow.ts';
import { submit } from '../../jobs/submit.ts';
import { assertScheduled } from '../../jobs/unscheduled.ts';
import { readableLine } from '../../report/log.ts';
import { longestRun } from '../../rollout/longest-run.ts';
import { within } from '../../wait.ts';
import { type RequestOptions, readRequest } from '../request-options.ts';
import { type CommonOptions, openSession, outputStyle } from '../session.ts';

/** Options of `submit`. */
export interface SubmitOptions extends CommonOptions, RequestOptions {
  /** Follow the log and exit with the run's outcome; otherwise return once the Job is scheduled. */
  readonly follow: boolean;
}

/** `k8s-upgrade submit`: starts an upgrade as a Job, or joins the running Job with the same inputs. */
export async function submitCommand(options: SubmitOptions): Promise<void> {
  const request = readRequest(options);
  const { settings, client, cluster, logger, signals } = openSession(options);
  const { namespace } = settings;
  const ports = { client, cluster, writer: clusterWriter(client, namespace), namespace };
  const { job, joined } = await submit(ports, request);
  const name = job.metadata?.name ?? '';
  logger.info(`${joined ? 'already running' : 'submitted'}: Job ${name}`);
  const { unschedulable } = settings.timing;
  if (!options.follow)
    return assertScheduled({ client, namespace, unschedulable, signal: signals.stop }, name);
  const nodes = await cluster.nodes();
  const wait = within(longestRun(nodes.length, settings), signals.stop);
  const { terminal, color } = outputStyle();
  const readable = readableLine(terminal, color);
  const onLine = (line: string) => process.stdout.write(`${readable(line)}\n`);
  const outcome = await followRun({ client, namespace, wait, onLine, unschedulable }, job);
  logger.info(`the run ended: ${outcome}`);
  process.exitCode = exitCodes[outcome];
}
