import { setTimeout as sleep } from 'node:timers/promises';
import { jobLabels, objectNames } from '../../../runtime/src/names.ts';
import type { Lab } from '../lab.ts';
import { CallCounter } from './counter.ts';
import { type Course, courses, inputsOf, startLab } from './lab.ts';
import type { CallRecord, Point, Strike } from './points.ts';
import { Witness, wrongAfterRun } from './verdict.ts';

export interface PointResult {
  readonly point: Point | undefined;
  readonly struck: Strike | undefined;
  readonly records: readonly CallRecord[];
  /** Empty when the run ended well. */
  readonly wrong: readonly string[];
  readonly seconds: number;
  /** Of every executor of the run, for a failure. */
  readonly log: string;
}

/** No run takes longer; one that has not ended by then hangs. */
const runLimit = 120_000;

/** One whole upgrade in a lab of its own, with something done to one of its calls. */
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

/** The follower returns with the last Job; an earlier one may have been started again beside it. */
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
