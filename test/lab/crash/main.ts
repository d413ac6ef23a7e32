import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type PointResult, runExecutor } from './executor.ts';
import { deeds, type Point, parsePoint, pointText, spread } from './points.ts';

const cache = fileURLToPath(new URL('../../../.cache', import.meta.url));

const usage = `CRASH=
  (nothing)            a spread of 40 kill points
  N                    a spread of N kill points
  all                  every call, before and after
  17:after             the 17th call, killed after it took effect; several separated by ;
  'patch nodes/k8s-node2#1:before:reset'
                       the first such call; after the moment: ${deeds.join(', ')}`;

async function main(wanted: string): Promise<number> {
  const named = wanted.split(';').map((text) => parsePoint(text.trim()));
  if (named.every((point) => point !== undefined)) return report(await runAll(named));
  if (wanted !== 'all' && !/^\d+$/.test(wanted)) {
    console.error(`CRASH: "${wanted}" is not allowed; expected\n${usage}`);
    return 2;
  }
  const dry = await runExecutor();
  console.log(`undisturbed: ${dry.records.length} calls in ${dry.seconds.toFixed(1)}s`);
  if (dry.wrong.length > 0) return report([dry]);
  const count = wanted === 'all' ? dry.records.length * 2 : Number(wanted);
  const points = spread(dry.records, count);
  return report(await runAll(points));
}

/** Two at a time: a run mostly waits. */
async function runAll(points: readonly Point[]): Promise<PointResult[]> {
  const results: PointResult[] = [];
  const left = [...points];
  const work = async () => {
    for (let point = left.shift(); point !== undefined; point = left.shift()) {
      const result = await runExecutor(point);
      results.push(result);
      console.log(`${String(results.length).padStart(3)}/${points.length} ${line(result)}`);
    }
  };
  await Promise.all([work(), work()]);
  return results;
}

function line({ point, struck, wrong, seconds }: PointResult): string {
  const at = struck === undefined ? '' : ` (call ${struck.n}, ${struck.phase})`;
  const what = point === undefined ? 'undisturbed' : pointText(point);
  return `${wrong.length === 0 ? 'ok  ' : 'FAIL'} ${what}${at} ${seconds.toFixed(1)}s${wrong.map((one) => `\n        ${one}`).join('')}`;
}

async function report(results: readonly PointResult[]): Promise<number> {
  const failed = results.filter(({ wrong }) => wrong.length > 0);
  const kills = results.filter(({ point }) => point?.deed === 'kill').length;
  const faults = results.length - kills;
  await mkdir(cache, { recursive: true });
  const summary = { kills, faults, failed: failed.length };
  await writeFile(join(cache, 'crash.json'), `${JSON.stringify(summary, null, 2)}\n`);
  for (const { point, log } of failed) {
    const file = join(
      cache,
      `crash-${(point ? pointText(point) : 'undisturbed').replace(/[^\w.-]+/g, '_')}.log`,
    );
    await writeFile(file, log);
  }
  if (failed.length === 0) {
    console.log(`${kills} kill points, ${faults} faults: all ended on the target`);
    return 0;
  }
  console.log(`${failed.length} of ${results.length} points failed; logs in ${cache}`);
  for (const { point } of failed) if (point) console.log(`  CRASH='${pointText(point)}' make crash-test`);
  return 1;
}

process.exitCode = await main(process.env.CRASH ?? '40');
