import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Trial, usage, wantedTrials } from './trials.ts';

const cache = fileURLToPath(new URL('../../../.cache', import.meta.url));

/** How many trials run at a time. A run mostly waits, so three keep two cores busy. */
const atOnce = 3;

/** CI shares its machine. As for all tests there, a point has a second try, and CI reports it. */
const tries = process.env.CI === 'true' ? 2 : 1;

interface Ended extends Trial {
  /** How many tries it needed. */
  readonly tried: number;
  readonly wrong: readonly string[];
  readonly log: string;
}

/** A lab that does not start, or in which an invariant was violated, fails only this point. */
async function playOnce(trial: Trial) {
  const started = Date.now();
  const { wrong, log, struck } = await trial
    .play()
    .catch((error: Error) => ({ wrong: [error.message], log: error.stack ?? '', struck: undefined }));
  const at = struck ? ` (call ${struck.n}, ${struck.phase})` : '';
  const took = `${((Date.now() - started) / 1000).toFixed(1)}s`;
  const verdict = `${wrong.length === 0 ? 'ok  ' : 'FAIL'} ${trial.text}${at} ${took}`;
  return { wrong, log, text: [verdict, ...wrong.map((one) => `             ${one}`)].join('\n') };
}

async function playAll(trials: readonly Trial[]): Promise<Ended[]> {
  const results: Ended[] = [];
  const left = [...trials];
  const work = async () => {
    for (let trial = left.shift(); trial !== undefined; trial = left.shift()) {
      let tried = 1;
      let end = await playOnce(trial);
      for (; end.wrong.length > 0 && tried < tries; tried += 1) {
        console.log(`trying again: ${end.text}`);
        end = await playOnce(trial);
      }
      results.push({ ...trial, tried, wrong: end.wrong, log: end.log });
      console.log(`${String(results.length).padStart(3)}/${trials.length} ${end.text}`);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, work));
  return results;
}

const counter = (trials: readonly Trial[]) => (sort: Trial['sort']) =>
  trials.filter((one) => one.sort === sort).length;

function pointsText(trials: readonly Trial[]): string {
  const count = counter(trials);
  return `${count('kill')} kill points of the executor, ${count('detectorKill')} of the detector, ${count('fault')} failing calls, ${count('disturbance')} disturbances`;
}

/** Part → how many points it has. */
const partsOf = (trials: readonly Trial[]): Record<string, number> => {
  const sum: Record<string, number> = {};
  for (const { part } of trials) sum[part] = (sum[part] ?? 0) + 1;
  return sum;
};

/** CRASH → its summary in `.cache`. Documents quote only whole rounds and `all`, not points played alone. */
const files: Readonly<Record<string, string>> = { '': 'crash.json', all: 'crash-all.json' };

/** Has the sums under the names of vitest's report, too, so that `.ci/count.mjs` adds both up. */
function summaryOf(results: readonly Ended[]) {
  const count = counter(results);
  const failed = results.filter(({ wrong }) => wrong.length > 0).map(({ text }) => text);
  return {
    kills: count('kill'),
    detectorKills: count('detectorKill'),
    faults: count('fault'),
    disturbances: count('disturbance'),
    parts: partsOf(results),
    failed,
    secondTries: results
      .filter(({ tried, wrong }) => tried > 1 && wrong.length === 0)
      .map(({ text }) => text),
    numPassedTests: results.length - failed.length,
    numFailedTests: failed.length,
    numPendingTests: 0,
  };
}

async function report(wanted: string, results: readonly Ended[]): Promise<number> {
  const summary = summaryOf(results);
  const file = files[wanted];
  if (file !== undefined) await writeFile(join(cache, file), `${JSON.stringify(summary, null, 2)}\n`);
  for (const { text, log } of results.filter(({ wrong }) => wrong.length > 0)) {
    const kept = join(cache, `crash-${text.replace(/[^\w.-]+/g, '_')}.log`);
    await writeFile(kept, log);
    console.log(`to repeat it: CRASH='${text}' make crash-test; its log: ${kept}`);
  }
  const { numPassedTests, numFailedTests } = summary;
  console.log(pointsText(results));
  console.log(`${numPassedTests} passed, ${numFailedTests} failed`);
  return numFailedTests > 0 ? 1 : 0;
}

async function main(wanted: string): Promise<number> {
  await mkdir(cache, { recursive: true });
  // A round that is interrupted must not leave the figures of an earlier one.
  const file = files[wanted];
  if (file !== undefined) await rm(join(cache, file), { force: true });
  const trials = await wantedTrials(wanted === 'count' ? 'all' : wanted);
  if (trials === undefined) {
    console.error(`CRASH: "${wanted}" is not allowed; expected\n${usage}`);
    return 2;
  }
  if (wanted === 'count') {
    console.log(`CRASH=all: ${trials.length} points: ${pointsText(trials)}`);
    return 0;
  }
  return report(wanted, await playAll(trials));
}

process.exitCode = await main(process.env.CRASH ?? '');
