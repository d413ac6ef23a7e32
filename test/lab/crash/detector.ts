import { annotationKeys, jobLabels, objectNames } from '../../../runtime/src/names.ts';
import type { Job } from '../api/index.ts';
import type { Lab } from '../lab.ts';
import { limited, until } from '../waits.ts';
import { CallCounter } from './counter.ts';
import type { PointResult } from './executor.ts';
import { courses, startLab } from './lab.ts';
import type { Point } from './points.ts';
import { forbidden } from './verdict.ts';

/** The detector's way of dispatching: `dispatch.mode`. */
export type Mode = 'agent-service' | 'job';

const keys = annotationKeys('viktorbarzin.me');
const { target } = courses.patch;
const aWeek = 7 * 86_400_000;

/**
 * Plays one detection that is hit at one of its calls, until its Job has ended; then the next detection, and
 * the one of the week after when the first dispatch is uncertain. The agent returns at once; a Job runs until
 * the lab stops.
 *
 * @param point the call to interfere with. @default none
 */
export async function runDetector(mode: Mode, point?: Point): Promise<PointResult> {
  const started = Date.now();
  const lab = await startLab(courses.patch, (base) => ({ ...base, dispatch: { ...base.dispatch, mode } }));
  lab.submit = async () => ({ exitCode: 0, output: '' });
  const log: string[] = [];
  lab.events.on('log', (line) => log.push(line));
  try {
    const counter = new CallCounter(lab, objectNames.detectionCronJob, point);
    await endOf(lab, await lab.createJobFrom(objectNames.detectionCronJob));
    counter.stop();
    const wrong: string[] = [];
    if (point !== undefined && counter.struck === undefined) wrong.push('the point was never reached');
    wrong.push(...wrongAfter('the next detection', lab, await limited('detect', lab.detect())));
    const ambiguous = dispatches(lab) === 0;
    if (ambiguous && dispatchedAnnotation(lab) === undefined)
      wrong.push('the next detection did not dispatch');
    if (ambiguous) {
      // The detector could not know whether its dispatch arrived. It dispatches again once that run cannot be
      // pending any more.
      age(lab, aWeek);
      wrong.push(...wrongAfter('the detection a week later', lab, await limited('detect', lab.detect())));
    }
    if (dispatches(lab) !== 1) wrong.push(`${dispatches(lab)} dispatches of ${target}`);
    wrong.push(...forbidden(lab));
    const seconds = (Date.now() - started) / 1000;
    return { point, struck: counter.struck, records: counter.records, wrong, seconds, log: log.join('\n') };
  } finally {
    await lab.stop();
  }
}

function wrongAfter(what: string, lab: Lab, exitCode: number): string[] {
  const wrong = exitCode === 0 ? [] : [`${what} ended with exit code ${exitCode}`];
  if (dispatches(lab) > 1) wrong.push(`${dispatches(lab)} dispatches of ${target} after ${what}`);
  return wrong;
}

const dispatchedAnnotation = (lab: Lab): string | undefined =>
  lab.api.store.get('namespaces', undefined, objectNames.namespace)?.metadata.annotations?.[keys.dispatched];

/** How many agent jobs and runs there are for the target. */
function dispatches(lab: Lab): number {
  const agentJobs = lab.agentService.jobs.filter((job) => job.request.prompt.includes(`"${target}"`));
  const jobs = lab.api.store.list('jobs', objectNames.namespace);
  const runs = jobs.map((job) => job.metadata.labels?.[jobLabels.run]).filter((run) => run !== undefined);
  return agentJobs.length + new Set(runs).size;
}

/** Makes the recorded dispatch this old. */
function age(lab: Lab, ms: number): void {
  const time = new Date(Date.now() - ms).toISOString();
  lab.api.store.modify('namespaces', undefined, objectNames.namespace, (ns) => {
    ns.metadata.annotations = { ...ns.metadata.annotations, [keys.dispatched]: `${target} ${time}` };
  });
}

async function endOf(lab: Lab, name: string): Promise<void> {
  const hasEnded = (job: Job | undefined) =>
    job?.status?.conditions?.some(
      (c) => (c.type === 'Complete' || c.type === 'Failed') && c.status === 'True',
    ) ?? false;
  await until(`${name} has ended`, () => hasEnded(lab.api.store.get('jobs', objectNames.namespace, name)));
}
