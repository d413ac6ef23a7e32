import { resourceNamed } from '../resources.ts';
import type { CronJob, Job } from '../types.ts';
import { jobCondition } from './jobs.ts';
import { controllerOf, type Kit } from './kit.ts';

/**
 * Deletes the oldest finished Jobs of a CronJob beyond its history limits, including Jobs that it did not
 * create itself but that name it as their controller. Schedules are ignored. Returns a function that stops
 * it.
 */
export function startCronJobs(kit: Kit): () => void {
  const enqueue = kit.queue((key) => {
    const [namespace, name = ''] = key.split('/');
    const cronJob = kit.store.get('cronjobs', namespace, name);
    if (cronJob !== undefined) trimHistory(kit, cronJob);
  });
  return kit.store.subscribe(({ resource, object, type }) => {
    const { namespace, name } = object.metadata;
    if (resource === 'cronjobs' && type !== 'DELETED') enqueue(`${namespace}/${name}`);
    const owner = resource === 'jobs' ? controllerOf(object) : undefined;
    if (owner?.kind === 'CronJob') enqueue(`${namespace}/${owner.name}`);
  });
}

function trimHistory(kit: Kit, { metadata, spec }: CronJob): void {
  const jobs = kit.store
    .list('jobs', metadata.namespace)
    .filter((j) => controllerOf(j)?.uid === metadata.uid && j.metadata.deletionTimestamp === undefined);
  const started = (j: Job) => j.status?.startTime ?? j.metadata.creationTimestamp;
  const deleteOldest = (finished: Job[], limit: number) => {
    const oldestFirst = finished.sort((a, b) => (started(a) < started(b) ? -1 : 1));
    for (const job of oldestFirst.slice(0, Math.max(0, finished.length - limit))) {
      kit.registry.delete(resourceNamed('jobs'), metadata.namespace, job.metadata.name, {
        propagationPolicy: 'Background',
      });
    }
  };
  deleteOldest(
    jobs.filter((j) => jobCondition(j, 'Complete')),
    spec?.successfulJobsHistoryLimit ?? 3,
  );
  deleteOldest(
    jobs.filter((j) => jobCondition(j, 'Failed')),
    spec?.failedJobsHistoryLimit ?? 1,
  );
}
