import { clusterWriter } from '../../cluster/writer.ts';
import { detect } from '../../detect/detect.ts';
import type { Detection } from '../../detect/detection.ts';
import { publishMetrics, publishSlack } from '../../detect/report.ts';
import { exitCodes, type Outcome, outcomeOf } from '../../errors.ts';
import { environment } from '../../names.ts';
import { slackPost } from '../../report/slack.ts';
import { detectContext } from '../detect-context.ts';
import { type CommonOptions, openSession } from '../session.ts';

/** Options of `detect`. */
export interface DetectOptions extends CommonOptions {
  /** Detect and report, but do not dispatch. @default false */
  readonly dryRun?: boolean;
}

/** `k8s-upgrade detect`: looks for a newer release, dispatches its upgrade, and reports the outcome. */
export async function detectCommand(options: DetectOptions): Promise<void> {
  const session = openSession(options, 'finish');
  const { settings, client, logger } = session;
  const dryRun =
    options.dryRun === true || process.env[environment.dryRun] === 'true' || settings.dispatch.dryRun;
  const post = slackPost(settings.slack);
  const ctx = await detectContext(session, clusterWriter(client, settings.namespace), false);
  const report = async (outcome: Outcome, message: string, news: boolean, found?: Detection) => {
    const warn = (error: Error) => logger.warn(error.message);
    await publishMetrics(settings.pushgateway, outcome, found).catch(warn);
    if (post && news) await publishSlack(post, outcome, message).catch(warn);
  };
  try {
    const found = await detect(ctx, dryRun);
    logger.info(`${found.outcome}: ${found.message}`);
    await report(found.outcome, found.message, found.news, found);
    process.exitCode = exitCodes[found.outcome];
  } catch (error) {
    session.signals.stop.throwIfAborted();
    await report(outcomeOf(error), error instanceof Error ? error.message : String(error), true);
    throw error;
  }
}
