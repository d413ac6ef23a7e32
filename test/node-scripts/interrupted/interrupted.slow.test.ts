import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { rowLabels } from '../../docs/figures.ts';
import { readDocument } from '../../docs/markdown.ts';
import { type Phase, strike } from './strike.ts';
import { type Subject, subjects } from './subjects.ts';

const phases: readonly Phase[] = ['before', 'after'];
/** Number of parallel runs. Scripts mostly wait for programs to start, so this many keep two cores busy. */
const atOnce = 3;

/** Number of kill points played, by subject. */
const counts: Record<string, number> = {};

/** The calls of a run that is not killed. Expects it to succeed. */
async function wholeRun(subject: Subject): Promise<readonly string[]> {
  const bench = await subject.open();
  try {
    const { exit, calls, stderr } = await strike(bench, subject.script, subject.args(bench));
    expect([exit, stderr, await subject.finished(bench)]).toEqual([0, '', []]);
    return calls;
  } finally {
    await bench.close();
  }
}

/** Kills the script at one call, runs it again, and returns what is wrong. */
async function play(subject: Subject, at: number, phase: Phase): Promise<string[]> {
  const bench = await subject.open();
  try {
    const killed = await strike(bench, subject.script, subject.args(bench), at, phase);
    // The exit code is -1 when the script was killed.
    const wrong = killed.exit === -1 ? [] : [`it was not killed but ended with ${killed.exit}`];
    wrong.push(...((await subject.interrupted?.(bench)) ?? []));
    const run = () => bench.run(subject.script, ...subject.args(bench));
    if (subject.again) {
      wrong.push(...(await subject.again(bench, run)));
    } else {
      const { exit, stderr } = await run();
      if (exit !== 0) wrong.push(`the next run ended with ${exit}: ${stderr.trim()}`);
    }
    wrong.push(...(await subject.finished(bench)));
    return wrong.map((text) => `call ${at} (${killed.calls[at - 1]}), ${phase}: ${text}`);
  } finally {
    await bench.close();
  }
}

async function playAll(subject: Subject, calls: readonly string[]): Promise<string[]> {
  const points = calls.flatMap((_call, index) => phases.map((phase) => ({ at: index + 1, phase })));
  counts[subject.name] = points.length;
  const wrong: string[] = [];
  const work = async () => {
    for (let point = points.shift(); point !== undefined; point = points.shift()) {
      wrong.push(...(await play(subject, point.at, point.phase)));
    }
  };
  await Promise.all(Array.from({ length: atOnce }, work));
  return wrong;
}

describe('the node ends up correct when the script is killed at any of its calls and run again', () => {
  for (const subject of subjects) {
    test(subject.name, { timeout: 900_000 }, async () => {
      const calls = await wholeRun(subject);
      expect(calls.length).toBeGreaterThan(10);
      expect(await playAll(subject, calls)).toEqual([]);
    });
  }

  // The total is only known when all subjects were played.
  test('docs/testing.md states about the number of points', ({ skip }) => {
    if (Object.keys(counts).length < subjects.length) skip('not every subject was played');
    const all = Object.values(counts).reduce((sum, count) => sum + count, 0);
    console.log(`node scripts killed at ${all} points:`, counts);
    const cache = join(import.meta.dirname, '../../../.cache');
    mkdirSync(cache, { recursive: true });
    writeFileSync(join(cache, 'interrupted.json'), `${JSON.stringify({ all, ...counts }, null, 2)}\n`);
    // Each program that a script calls adds some. `make figures` writes the number of the last run.
    const stated = Number(
      readDocument('docs/testing.md').split(`| ${rowLabels.nodeScripts} | `)[1]?.split(' ')[0],
    );
    expect(Math.abs(stated - all), `${stated} are stated, ${all} were played`).toBeLessThan(all / 10);
  });
});
