import { clusterWriter } from '../../cluster/writer.ts';
import { BlockedError } from '../../errors.ts';
import { describeRunInProgress, readRunInProgress } from '../../jobs/run-in-progress.ts';
import { metricJobs, metrics } from '../../names.ts';
import { MetricGroup } from '../../report/metrics.ts';
import { namespaceJournal, readNotes } from '../../rollout/journal.ts';
import { clearNodeAnnotations } from '../../rollout/node-annotations.ts';
import { type CommonOptions, openSession } from '../session.ts';

/** Options of `clear`. */
export interface ClearOptions extends CommonOptions {
  /** Clear even while a run seems to be in progress. @default false */
  readonly force?: boolean;
}

/**
 * `k8s-upgrade clear`: removes the annotations and metrics of an abandoned rollout. Cordons stay, as a person
 * must decide whether a node is fit to run pods. Idempotent.
 *
 * @throws BlockedError while a run is in progress, unless forced.
 */
export async function clearCommand(options: ClearOptions): Promise<void> {
  const { settings, client, cluster, logger } = openSession(options);
  const { namespace, annotationPrefix: prefix } = settings;
  // Fails if the namespace does not exist: this is the wrong cluster, and its nodes must not be changed.
  await readNotes(client, namespace, prefix);
  const busy = describeRunInProgress(await readRunInProgress(client, namespace));
  if (busy !== undefined && !options.force) {
    throw new BlockedError('a run is in progress', [busy], {
      hint: 'Halt it first (k8s-upgrade halt --reason …), delete a Job that stays unscheduled, or use --force.',
    });
  }
  const writer = clusterWriter(client, namespace);
  await clearNodeAnnotations({ cluster, writer, settings }, ({ name, unschedulable }) => {
    const left = unschedulable
      ? `it is still cordoned: kubectl uncordon ${name} when it is fit`
      : 'it is schedulable';
    logger.info(`cleared the annotations of ${name}; ${left}`);
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
