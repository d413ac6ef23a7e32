import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Mode, runDetector } from './detector.ts';
import { disturbances, runDisturbed } from './disturbances.ts';
import { type PointResult, runExecutor } from './executor.ts';
import { asFaults, deeds, earlier, type Point, parsePoint, pointText, spread } from './points.ts';

const cache = fileURLToPath(new URL('../../../.cache', import.meta.url));

const usage = `CRASH=
  (nothing)     a spread of 40 kill points and of 12 faults, some of the detector, and every disturbance
  N             a spread of N kill points
  all           every call of a run, killed before and after
  faults        a spread of 40 faults
  detector      every call of the detector, killed before and after
  disturbances  what happens to a run as a whole
  17:after      the 17th call, killed after it took effect; several separated by ;
  'patch nodes/k8s-node2#1:before:reset'
                the first such call; after the moment: ${deeds.join(', ')}
  'detector agent-service patch namespaces/k8s-upgrade#1:after'
                a call of the detector, dispatching through agent-service or job`;

/** One run with one thing done to it. */
interface Trial {
  /** How to play it alone. */
  readonly text: string;
  readonly sort: 'kill' | 'fault' | 'disturbance';
  play(): Promise<Pick<PointResult, 'wrong' | 'log'> & Partial<PointResult>>;
}

interface Ended extends Trial {
  readonly wrong: readonly string[];
  readonly log: string;
}

const executorTrial = (point: Point): Trial => ({
  text: pointText(point),
  sort: point.deed === 'kill' ? 'kill' : 'fault',
  play: () => runExecutor(point),
});

const detectorTrial = (mode: Mode, point: Point): Trial => ({
  ...executorTrial(point),
  text: `detector ${mode} ${pointText(point)}`,
  play: () => runDetector(mode, point),
});

/**
 * Runs differ in how often they list and watch: one may end before it comes to the last such call of another. Then an earlier
 * one is taken.
 */
const spreadTrial = (point: Point): Trial => ({
  ...executorTrial(point),
  async play() {
    for (let current = point; ; current = earlier(current)) {
      const result = await runExecutor(current);
      const reached = result.struck !== undefined || earlier(current) === current;
      if (reached || result.wrong.length > 1) return result;
    }
  },
});

const disturbanceTrials = (): Trial[] =>
  disturbances.map((one) => ({ text: one.name, sort: 'disturbance', play: () => runDisturbed(one) }));

async function executorTrials(kills: number, faults: number): Promise<Trial[]> {
  const { records, seconds, wrong } = await runExecutor();
  console.log(`a run undisturbed: ${records.length} calls in ${seconds.toFixed(1)}s`);
  if (wrong.length > 0) throw new Error(`an undisturbed run ended wrong: ${wrong.join('; ')}`);
  const points = [...spread(records, kills), ...asFaults(spread(records, faults))];
  return points.map(spreadTrial);
}

async function detectorTrials(each: number): Promise<Trial[]> {
  const modes: Mode[] = ['agent-service', 'job'];
  const trials: Trial[] = [];
  for (const mode of modes) {
    const { records, wrong } = await runDetector(mode);
    console.log(`a detection undisturbed (${mode}): ${records.length} calls`);
    if (wrong.length > 0) throw new Error(`an undisturbed detection ended wrong: ${wrong.join('; ')}`);
    trials.push(...spread(records, each).map((point) => detectorTrial(mode, point)));
  }
  return trials;
}

function namedTrial(text: string): Trial | undefined {
  const disturbance = disturbanceTrials().find((trial) => trial.text === text);
  if (disturbance) return disturbance;
  const [, mode, rest = text] = /^detector (agent-service|job) (.+)$/.exec(text) ?? [];
  const point = parsePoint(rest);
  if (point === undefined) return undefined;
  return mode === undefined ? executorTrial(point) : detectorTrial(mode as Mode, point);
}

/** Undefined for what is not allowed. */
async function wantedTrials(wanted: string): Promise<Trial[] | undefined> {
  if (wanted === '')
    return [...(await executorTrials(40, 12)), ...(await detectorTrials(6)), ...disturbanceTrials()];
  if (wanted === 'all') return executorTrials(Number.POSITIVE_INFINITY, 0);
  if (wanted === 'faults') return executorTrials(0, 40);
  if (wanted === 'detector') return detectorTrials(Number.POSITIVE_INFINITY);
  if (wanted === 'disturbances') return disturbanceTrials();
  if (/^\d+$/.test(wanted)) return executorTrials(Number(wanted), 0);
  const named = wanted.split(';').map((text) => namedTrial(text.trim()));
  return named.every((trial) => trial !== undefined) ? named : undefined;
}

/** Two at a time: a run mostly waits. */
async function playAll(trials: readonly Trial[]): Promise<Ended[]> {
  const results: Ended[] = [];
  const left = [...trials];
  const work = async () => {
    for (let trial = left.shift(); trial !== undefined; trial = left.shift()) {
      const started = Date.now();
      const { wrong, log, struck } = await trial.play();
      results.push({ ...trial, wrong, log });
      const at = struck ? ` (call ${struck.n}, ${struck.phase})` : '';
      const took = `${((Date.now() - started) / 1000).toFixed(1)}s`;
      const place = `${String(results.length).padStart(3)}/${trials.length}`;
      console.log(`${place} ${wrong.length === 0 ? 'ok  ' : 'FAIL'} ${trial.text}${at} ${took}`);
      for (const one of wrong) console.log(`             ${one}`);
    }
  };
  await Promise.all([work(), work()]);
  return results;
}

async function report(results: readonly Ended[]): Promise<number> {
  const failed = results.filter(({ wrong }) => wrong.length > 0);
  const count = (sort: Trial['sort']) => results.filter((one) => one.sort === sort).length;
  const [kills, faults, others] = [count('kill'), count('fault'), count('disturbance')];
  await mkdir(cache, { recursive: true });
  // The figures that the documents quote are of a whole round, not of points played alone.
  if (wanted === '' || wanted === 'all') {
    const summary = { kills, faults, disturbances: others, failed: failed.map(({ text }) => text) };
    await writeFile(join(cache, 'crash.json'), `${JSON.stringify(summary, null, 2)}\n`);
  }
  if (failed.length === 0) {
    console.log(`${kills} kill points, ${faults + others} faults: all ended on the target`);
    return 0;
  }
  console.log(`${failed.length} of ${results.length} failed; logs in ${cache}`);
  for (const { text, log } of failed) {
    await writeFile(join(cache, `crash-${text.replace(/[^\w.-]+/g, '_')}.log`), log);
    console.log(`  CRASH='${text}' make crash-test`);
  }
  return 1;
}

const wanted = process.env.CRASH ?? '';
const trials = await wantedTrials(wanted);
if (trials === undefined) console.error(`CRASH: "${wanted}" is not allowed; expected\n${usage}`);
process.exitCode = trials === undefined ? 2 : await report(await playAll(trials));
