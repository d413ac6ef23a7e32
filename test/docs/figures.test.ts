import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { temporaryFile } from '../../runtime/src/testing/files.ts';
import { disturbances } from '../lab/crash/disturbances.ts';
import { brokenTransfers, round } from '../lab/crash/round.ts';
import { type Counted, figuresOf, readCounted, render, rowLabels } from './figures.ts';
import { readDocument } from './markdown.ts';

const testing = readDocument('docs/testing.md');
const section = testing.slice(testing.indexOf('## Reliability'), testing.indexOf('## Real hosts'));

/** Numbers of points that are known without running them. */
const planned = {
  patch: round.patch,
  minor: round.minor,
  ha: round.ha,
  'agent-service': round.detector,
  job: round.detector,
  faults: round.faults,
  brokenTransfers: brokenTransfers.length,
  disturbances: disturbances.length,
};
const rowOf = (label: string): number =>
  Number(
    section
      .split('\n')
      .find((line) => line.startsWith(`| ${label} |`))
      ?.match(/(\d+) \|$/)?.[1],
  );

describe('the figures in docs/testing.md', () => {
  it('are those that the harness counts, without failures', () => {
    const counted: Omit<Counted, 'failed'> = {
      crash: planned,
      nodeScripts: rowOf(rowLabels.nodeScripts),
      scenarios: rowOf(rowLabels.scenarios),
    };
    expect([0, undefined].map((failed) => render({ ...counted, failed }))).toContain(figuresOf(testing));
  });

  it('are read from the reports of a complete run', () => {
    const cache = join(dirname(temporaryFile('')), '.cache');
    mkdirSync(cache);
    const write = (file: string, content: object) =>
      writeFileSync(join(cache, file), JSON.stringify(content));
    expect(() => readCounted(cache)).toThrow('.cache/crash.json is not there: run make crash-test first');
    const report = (file: string, ...statuses: string[]) => ({
      testResults: [
        { name: `/x/test/${file}`, assertionResults: statuses.map((status) => ({ status })) },
        { name: '/x/test/lab/other.test.ts', assertionResults: [{ status: 'failed' }] },
      ],
    });
    write('crash.json', { parts: planned, numFailedTests: 2 });
    write('interrupted.json', { all: 7, worker: 7 });
    write('tests.json', report('scenarios/a.test.ts', 'passed', 'failed'));
    expect(() => readCounted(cache)).toThrow('.cache/tests-slow.json is not there: run make test-slow first');
    write('tests-slow.json', report('node-scripts/interrupted/b.slow.test.ts', 'passed', 'failed'));
    expect(readCounted(cache)).toEqual({ crash: planned, nodeScripts: 7, scenarios: 2, failed: 4 });
  });
});
