import { setTimeout as sleep } from 'node:timers/promises';
import { jobLabels, objectNames } from '../../../runtime/src/names.ts';
import type { Lab } from '../lab.ts';
import { CallCounter } from './counter.ts';
import { type Course, courses, inputsOf, startLab } from './lab.ts';
import type { CallRecord, Point, Strike } from './points.ts';
import { Witness, wrongAfterRun } from './verdict.ts';

/** How a run or a detection ended that was hit at one of its calls. */
export interface PointResult {
  /** The call to interfere with; undefined when there was none. */
  readonly point: Point | undefined;
  /** The call that was hit; undefined when the point was never reached. */
  readonly struck: Strike | undefined;
  /** Every call of the program, in order of arrival. */
  readonly records: readonly CallRecord[];
  /** Empty when the run ended well. */
  readonly wrong: readonly string[];
  /** The whole time, with start and stop of the lab. */
  readonly seconds: number;
  /** Log lines and events of every pod, to read after a failure. */
  readonly log: string;
}

/** No run takes longer: one that is still running then hangs. Milliseconds. */
const runLimit = 120_000;

/**
 * Plays one whole upgrade in a new lab, hit at one of its calls.
 *
 * @param point the call to interfere with. @default none
 */
export async function runExecutor(point?: Point, course: Course = courses.patch): Promise<PointResult> {
  const started = Date.now();
  const lab = await startLab(course);
  try {
    const witness = new Witness(lab, course);
    const log: string[] = [];
    const counter = new CallCounter(lab, objectNames.executionCronJob, point);
    followPhase(lab, counter, log);
    const limit = sleep(runLimit, { exitCode: -1, output: 'no end' }, { ref: false });
    const { exitCode, output } = await Promise.race([lab.submit(inputsOf(course)), limit]);
    await settle(lab);
    if (exitCode !== 0) log.push(output);
    const wrong = wrongAfterRun(lab, course, witness, exitCode, point, counter.struck);
    const seconds = (Date.now() - started) / 1000;
    return { point, struck: counter.struck, records: counter.records, wrong, seconds, log: log.join('\n') };
  } finally {
    await lab.stop();
  }
}

function followPhase(lab: Lab, counter: CallCounter, log: string[]): void {
  lab.events.on('log', (line) => log.push(line));
  lab.events.on('run-event', (event) => {
    if (event.type === 'stage-started') counter.phase = event.stage;
    if (event.type === 'node') counter.phase = `${event.node} ${event.phase}`;
    if (event.type === 'handed-off') counter.phase = 'handing over';
    if (event.type !== 'heartbeat') log.push(JSON.stringify(event));
  });
}

/**
 * Waits up to 15 s until no pod of a run is active. `submit` returns with the last Job, while an earlier Job
 * may have been restarted and still run.
 */
async function settle(lab: Lab): Promise<void> {
  for (let waited = 0; waited < 15_000; waited += 100) {
    const active = lab.api.store
      .list('pods')
      .some(
        (pod) =>
          pod.metadata.labels?.[jobLabels.run] !== undefined &&
          pod.status?.phase !== 'Succeeded' &&
          pod.status?.phase !== 'Failed',
      );
    if (!active) break;
    await sleep(100);
  }
  await lab.api.settled();
}
