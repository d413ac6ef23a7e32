import { clusterWriter } from '../../cluster/writer.ts';
import { BlockedError } from '../../errors.ts';
import { isInterrupted } from '../../gates/alerts.ts';
import { readRollout } from '../../jobs/at-work.ts';
import { annotationKeys, metricJobs, metrics } from '../../names.ts';
import { MetricGroup } from '../../report/metrics.ts';
import { namespaceJournal } from '../../rollout/journal.ts';
import { type CommonOptions, openSession } from '../session.ts';

export interface ClearOptions extends CommonOptions {
  readonly force?: boolean;
}

/** The clean-up of an abandoned rollout. Cordons stay: whether a node is fit to take pods is for a person to say. */
export async function clearCommand(options: ClearOptions): Promise<void> {
  const { settings, client, cluster, logger } = openSession(options);
  const { namespace, annotationPrefix: prefix } = settings;
  const { busy } = await readRollout(client, settings);
  if (busy !== undefined && !options.force) {
    throw new BlockedError('a run is at work', [busy], {
      hint: 'Halt it first (k8s-upgrade halt --reason …), delete a Job that no node takes, or use --force.',
    });
  }
  const writer = clusterWriter(client, namespace);
  const keys = annotationKeys(prefix);
  for (const node of await cluster.nodes()) {
    if (!isInterrupted(node) && node.touchedAt === undefined && node.soakingSince === undefined) continue;
    const marks = [keys.cordoned, keys.touched, keys.unfinished, keys.soaking];
    await writer.patchNode(node.name, Object.fromEntries(marks.map((key) => [key, null])));
    const left = node.unschedulable
      ? `it is still cordoned: kubectl uncordon ${node.name} when it is fit`
      : 'it is schedulable';
    logger.info(`cleared the marks on ${node.name}; ${left}`);
  }
  await namespaceJournal(client, writer, namespace, prefix).clear();
  const group = new MetricGroup(settings.pushgateway, metricJobs.execution);
  group.set(metrics.inFlight, 0);
  group.set(metrics.snapshotTaken, 0);
  await group.push();
  logger.info(
    `cleared: no rollout is in flight (annotations of namespace ${namespace}, group ${metricJobs.execution} of the Pushgateway)`,
  );
}
