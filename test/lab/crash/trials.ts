import { type Mode, runDetector } from './detector.ts';
import { disturbances, runDisturbed } from './disturbances.ts';
import { type PointResult, runExecutor } from './executor.ts';
import { type Course, courses, isCourseName } from './lab.ts';
import { asFaults, deeds, earlier, type Point, parsePoint, pointText, spread } from './points.ts';
import { brokenTransfers, round } from './round.ts';

export const usage = `CRASH=
  (nothing)     ${round.patch} kill points of a patch, some of a minor, of three control-plane nodes and of the detector,
                faults, and every disturbance
  N             a spread of N kill points
  all           every call of a run, killed before and after
  minor, ha     every call of the stages that only a minor has; of the upgrade of three control-plane nodes
  faults        a spread of 40 faults
  detector      every call of the detector, killed before and after
  disturbances  what happens to a run as a whole
  17:after      the 17th call, killed after it took effect; several separated by ;
  'patch nodes/k8s-node2#1:before:reset'
                the first such call; after the moment: ${deeds.join(', ')}
  'ha 17:after' a call of a minor, or of three control-plane nodes
  'detector agent-service patch namespaces/k8s-upgrade#1:after'
                a call of the detector, dispatching through agent-service or job`;

/** One run with one thing done to it. */
export interface Trial {
  /** How to play it alone. */
  readonly text: string;
  readonly sort: 'kill' | 'detectorKill' | 'fault' | 'disturbance';
  play(): Promise<Pick<PointResult, 'wrong' | 'log'> & Partial<PointResult>>;
}

const executorTrial = (point: Point, course: Course = courses.patch): Trial => ({
  text: course === courses.patch ? pointText(point) : `${course.name} ${pointText(point)}`,
  sort: point.deed === 'kill' ? 'kill' : 'fault',
  play: () => runExecutor(point, course),
});

const detectorTrial = (mode: Mode, point: Point): Trial => ({
  text: `detector ${mode} ${pointText(point)}`,
  sort: point.deed === 'kill' ? 'detectorKill' : 'fault',
  play: () => runDetector(mode, point),
});

/**
 * Runs differ in how often they list and watch: one may end before it comes to the last such call of another. Then an earlier
 * one is taken.
 */
const spreadTrial = (point: Point, course: Course): Trial => ({
  ...executorTrial(point, course),
  async play() {
    for (let current = point; ; current = earlier(current)) {
      const result = await runExecutor(current, course);
      const reached = result.struck !== undefined || earlier(current) === current;
      if (reached || result.wrong.length > 1) return result;
    }
  },
});

const disturbanceTrials = (): Trial[] =>
  disturbances.map((one) => ({ text: one.name, sort: 'disturbance', play: () => runDisturbed(one) }));

async function executorTrials(course: Course, kills: number, faults = 0): Promise<Trial[]> {
  const { records, seconds, wrong, log } = await runExecutor(undefined, course);
  console.log(`an undisturbed run (${course.name}): ${records.length} calls in ${seconds.toFixed(1)}s`);
  if (wrong.length > 0) throw new Error(`an undisturbed run ended wrong: ${wrong.join('; ')}\n${log}`);
  const some = records.filter(course.isOfInterest);
  const points = [...spread(some, kills), ...asFaults(spread(some, faults))];
  return points.map((point) => spreadTrial(point, course));
}

async function detectorTrials(each: number): Promise<Trial[]> {
  const modes: Mode[] = ['agent-service', 'job'];
  const trials: Trial[] = [];
  for (const mode of modes) {
    const { records, wrong } = await runDetector(mode);
    console.log(`an undisturbed detection (${mode}): ${records.length} calls`);
    if (wrong.length > 0) throw new Error(`an undisturbed detection ended wrong: ${wrong.join('; ')}`);
    trials.push(...spread(records, each).map((point) => detectorTrial(mode, point)));
  }
  return trials;
}

async function wholeRound(): Promise<Trial[]> {
  const planned = await Promise.all([
    executorTrials(courses.patch, round.patch, round.faults),
    executorTrials(courses.minor, round.minor),
    executorTrials(courses.ha, round.ha),
    detectorTrials(round.detector),
  ]);
  return [
    ...planned.flat(),
    ...brokenTransfers.flatMap((text) => namedTrial(text) ?? []),
    ...disturbanceTrials(),
  ];
}

function namedTrial(text: string): Trial | undefined {
  const disturbance = disturbanceTrials().find((trial) => trial.text === text);
  if (disturbance) return disturbance;
  const [, mode, call = text] = /^detector (agent-service|job) (.+)$/.exec(text) ?? [];
  const [, name, rest = call] = /^(minor|ha) (.+)$/.exec(call) ?? [];
  const point = parsePoint(rest);
  if (point === undefined) return undefined;
  if (mode !== undefined) return detectorTrial(mode as Mode, point);
  return executorTrial(point, isCourseName(name) ? courses[name] : undefined);
}

const every = Number.POSITIVE_INFINITY;

/** What the variable CRASH asks for. Undefined for what is not allowed. */
export async function wantedTrials(wanted: string): Promise<Trial[] | undefined> {
  if (wanted === '') return wholeRound();
  if (wanted === 'all') return executorTrials(courses.patch, every);
  if (wanted === 'minor' || wanted === 'ha') return executorTrials(courses[wanted], every);
  if (wanted === 'faults') return executorTrials(courses.patch, 0, 40);
  if (wanted === 'detector') return detectorTrials(every);
  if (wanted === 'disturbances') return disturbanceTrials();
  if (/^\d+$/.test(wanted)) return executorTrials(courses.patch, Number(wanted));
  const named = wanted.split(';').map((text) => namedTrial(text.trim()));
  return named.every((trial) => trial !== undefined) ? named : undefined;
}
