import { clusterWriter } from '../../cluster/writer.ts';
import { BlockedError } from '../../errors.ts';
import { describeAtWork, readAtWork } from '../../jobs/at-work.ts';
import { metricJobs, metrics } from '../../names.ts';
import { MetricGroup } from '../../report/metrics.ts';
import { namespaceJournal, readNotes } from '../../rollout/journal.ts';
import { clearNodeAnnotations } from '../../rollout/node-marks.ts';
import { type CommonOptions, openSession } from '../session.ts';

export interface ClearOptions extends CommonOptions {
  readonly force?: boolean;
}

/** The clean-up of an abandoned rollout. Cordons stay: whether a node is fit to take pods is for a person to say. */
export async function clearCommand(options: ClearOptions): Promise<void> {
  const { settings, client, cluster, logger } = openSession(options);
  const { namespace, annotationPrefix: prefix } = settings;
  // A namespace that is not there has nobody at work in it, and means another cluster or a mistake: nothing is cleared then.
  await readNotes(client, namespace, prefix);
  const busy = describeAtWork(await readAtWork(client, namespace));
  if (busy !== undefined && !options.force) {
    throw new BlockedError('a run is at work', [busy], {
      hint: 'Halt it first (k8s-upgrade halt --reason …), delete a Job that no node takes, or use --force.',
    });
  }
  const writer = clusterWriter(client, namespace);
  await clearNodeAnnotations({ cluster, writer, settings }, ({ name, unschedulable }) => {
    const left = unschedulable
      ? `it is still cordoned: kubectl uncordon ${name} when it is fit`
      : 'it is schedulable';
    logger.info(`cleared the marks on ${name}; ${left}`);
  });
  await namespaceJournal(client, writer, namespace, prefix).clear();
  const group = new MetricGroup(settings.pushgateway, metricJobs.execution);
  group.set(metrics.inFlight, 0);
  group.set(metrics.snapshotTaken, 0);
  await group.push();
  logger.info(
    `cleared: no rollout is in flight (annotations of namespace ${namespace}, group ${metricJobs.execution} of the Pushgateway)`,
  );
}
