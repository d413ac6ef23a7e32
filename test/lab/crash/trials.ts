import { type Mode, runDetector } from './detector.ts';
import { disturbances, runDisturbed } from './disturbances.ts';
import { type PointResult, runExecutor } from './executor.ts';
import { type Course, courses, isCourseName } from './lab.ts';
import {
  actions,
  asFaults,
  type CallRecord,
  eachFault,
  earlier,
  isPart,
  type Point,
  parsePoint,
  pointText,
  spread,
} from './points.ts';
import { type Plan, type Portion, planOf } from './portions.ts';
import { brokenTransfers, type parts, round } from './round.ts';

/** The values of CRASH. */
export const usage = `CRASH=
  (nothing)     ${round.patch} kill points of a patch, some of a minor, of three control-plane nodes and of the detector,
                failing calls, and every disturbance
  N             a spread of N kill points
  all           every call of the executor and of the detector, killed before and after, and failing in every way;
                connections cut while a script is being sent; every disturbance
  count         prints how many points all has; plays nothing
  patch         every call of a patch, killed before and after
  minor         every call of the stages that only a minor has, killed before and after
  ha            every call while three control-plane nodes are upgraded, killed before and after
  faults        a spread of 40 failing calls
  faults-all    every call of the executor and of the detector with every fault: 500, 429, reset, silence
  detector      every call of the detector, killed before and after
  disturbances  every disturbance of a whole run
  17:after      the 17th call, killed after it took effect; separate several with ;
  'patch nodes/k8s-node2#1:before:reset'
                the first such call; the last part is one of: ${actions.join(', ')}
  'ha 17:after' a call of the upgrade of three control-plane nodes; likewise 'minor 17:after'
  'detector agent-service patch namespaces/k8s-upgrade#1:after'
                a call of the detector, dispatching through agent-service or job`;

/** One run or detection that is hit once. */
export interface Trial {
  /** The value of CRASH that plays it alone. */
  readonly text: string;
  /** Under what the summary counts it. */
  readonly sort: 'kill' | 'detectorKill' | 'fault' | 'disturbance';
  /** The part of the round. */
  readonly part: keyof typeof parts;
  /** May be called again: each call starts a new lab. */
  play(): Promise<Pick<PointResult, 'wrong' | 'log'> & Partial<PointResult>>;
}

const executorTrial = (point: Point, course: Course = courses.patch): Trial => ({
  text: course === courses.patch ? pointText(point) : `${course.name} ${pointText(point)}`,
  sort: point.action === 'kill' ? 'kill' : 'fault',
  part: isPart(point.action) ? 'brokenTransfers' : point.action === 'kill' ? course.name : 'faults',
  play: () => runExecutor(point, course),
});

const detectorTrial = (mode: Mode, point: Point): Trial => ({
  text: `detector ${mode} ${pointText(point)}`,
  sort: point.action === 'kill' ? 'detectorKill' : 'fault',
  part: point.action === 'kill' ? mode : 'faults',
  play: () => runDetector(mode, point),
});

/**
 * Runs differ in how often they list and watch: one may end before the call that another run had. It then
 * plays again with an earlier call of that name.
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
  disturbances.map((one) => ({
    text: one.name,
    sort: 'disturbance',
    part: 'disturbances',
    play: () => runDisturbed(one),
  }));

/** The calls of an undisturbed program. @throws Error when it does not end well. */
async function callsOf(of: Portion['of']): Promise<readonly CallRecord[]> {
  const course = isCourseName(of) ? courses[of] : undefined;
  const { records, seconds, wrong, log } = await (isCourseName(of)
    ? runExecutor(undefined, courses[of])
    : runDetector(of));
  if (wrong.length > 0) throw new Error(`${of} failed undisturbed: ${wrong.join('; ')}\n${log}`);
  const calls = course ? records.filter(course.isOfInterest) : records;
  console.log(`undisturbed, ${of}: ${calls.length} of ${records.length} calls count, ${seconds.toFixed(1)}s`);
  return calls;
}

async function trialsOf({ of, kills, faults }: Portion): Promise<Trial[]> {
  const calls = await callsOf(of);
  const wrong = faults === 'each' ? eachFault(calls) : asFaults(spread(calls, faults));
  const points = [...spread(calls, kills), ...wrong];
  return points.map((point) =>
    isCourseName(of) ? spreadTrial(point, courses[of]) : detectorTrial(of, point),
  );
}

async function trialsOfPlan({ portions, beyond }: Plan): Promise<Trial[]> {
  const planned = await Promise.all(portions.map(trialsOf));
  const others = {
    brokenTransfers: () => brokenTransfers.flatMap((text) => namedTrial(text) ?? []),
    disturbances: disturbanceTrials,
  };
  return [...planned.flat(), ...beyond.flatMap((which) => others[which]())];
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

/** The trials for a value of CRASH; undefined when it is not allowed. */
export async function wantedTrials(wanted: string): Promise<Trial[] | undefined> {
  const plan = planOf(wanted);
  if (plan !== undefined) return trialsOfPlan(plan);
  const named = wanted.split(';').map((text) => namedTrial(text.trim()));
  return named.every((trial) => trial !== undefined) ? named : undefined;
}
