import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { temporaryFile } from '../runtime/src/testing/files.ts';
import { root } from '../test/docs/markdown.ts';
import { applyTest, report, type Test } from './test-report.ts';

/** By the name of a file in `.cache`: the tests that vitest reports in it, or what else it holds. */
type Reports = Readonly<Record<string, readonly Test[] | string>>;

/** What `.ci/count.mjs` prints for these reports, with these variables in its environment. */
function count(reports: Reports, env: NodeJS.ProcessEnv = {}) {
  const project = dirname(temporaryFile(''));
  mkdirSync(join(project, '.cache'));
  for (const [name, content] of Object.entries(reports)) {
    const text = typeof content === 'string' ? content : JSON.stringify(report(project, content));
    writeFileSync(join(project, '.cache', name), text);
  }
  const program = join(root, '.ci/count.mjs');
  const { stdout, stderr } = spawnSync(process.execPath, [program], {
    cwd: project,
    encoding: 'utf8',
    env: { ...process.env, ...env },
  });
  return { numbers: stdout, said: stderr.split('\n').slice(0, -1) };
}

const test = (status: string, fullName: string, file = 'test/a.test.ts'): Test => ({
  file,
  fullName,
  status,
});
const passed = test('passed', 'one');
const skippedApply = (missing: string) =>
  test('skipped', `scripts/tg with the real providers${missing}: main.ts applies`, applyTest);
const again = (...failureMessages: string[]): Test => ({ ...passed, failureMessages });
const crash = (passed: number, failed: number, secondTries?: string[]) =>
  JSON.stringify({ numPassedTests: passed, numFailedTests: failed, numPendingTests: 0, secondTries });

describe('.ci/count.mjs', () => {
  it.each<[what: string, reports: Reports, numbers: string]>([
    ['nothing', {}, '0 0 0 0 0\n'],
    [
      'what passed, failed and was skipped',
      { 'tests.json': [passed, passed, test('failed', 'two')] },
      '2 1 0 0 0\n',
    ],
    [
      'all reports of vitest, and that of the crash test',
      {
        'tests.json': [passed, passed],
        'tests-slow.json': [passed, test('failed', 'two')],
        'tests-conformance.json': [skippedApply(' (missing: the provider vault 5.6.0)')],
        'crash.json': crash(40, 2),
      },
      '43 3 1 0 0\n',
    ],
    [
      'no other file',
      {
        'tests.json': [passed],
        'crash-all.json': crash(900, 1),
        'interrupted.json': '{"all":7}',
        'tests.json.log': 'not JSON',
      },
      '1 0 0 0 0\n',
    ],
  ])('counts %s', (_, reports, numbers) => {
    expect(count(reports)).toEqual({ numbers, said: [] });
  });

  it('prints plain numbers where colours are wanted', () => {
    // Without NO_COLOR, of which Node.js would warn.
    const colours = { FORCE_COLOR: '1', NO_COLOR: undefined };
    expect(count({ 'tests.json': [passed] }, colours)).toEqual({ numbers: '1 0 0 0 0\n', said: [] });
  });

  it.each([
    ['one provider', 'the provider vault 5.6.0'],
    ['several', 'the provider kubernetes 2.38.0, the provider vault 5.6.0'],
  ])('accepts it as a reason that %s is not available', (_, missing) => {
    const skipped = skippedApply(` (missing: ${missing})`);
    expect(count({ 'tests.json': [skipped] })).toEqual({ numbers: '0 0 1 0 0\n', said: [] });
  });

  it.each([
    [
      'an apply without a provider and something else',
      skippedApply(' (missing: vault, the provider vault 5.6.0)'),
    ],
    ['the same, the provider first', skippedApply(' (missing: the provider vault 5.6.0, vault)')],
    ['an apply without a reason', skippedApply('')],
    ['any other test, whatever it says', test('skipped', 'b (missing: the provider vault 5.6.0)')],
    [
      'a test in a file of a similar name',
      { ...skippedApply(' (missing: the provider vault 5.6.0)'), file: `other/${applyTest}` },
    ],
  ])('accepts no other reason: %s', (_, skipped) => {
    const said = [`skipped: ${skipped.file}: ${skipped.fullName}`];
    expect(count({ 'tests.json': [passed, skipped] })).toEqual({ numbers: '1 0 1 1 0\n', said });
  });

  it.each([
    ['had not been played when the run broke off', 'pending', '0 0 1 1 0\n'],
    ['is not written yet, which vitest does not count as skipped', 'todo', '0 0 0 1 0\n'],
  ])('names a test that %s', (_, status, numbers) => {
    const said = ['skipped: test/a.test.ts: later'];
    expect(count({ 'tests.json': [test(status, 'later')] })).toEqual({ numbers, said });
  });

  it.each<[what: string, reports: Reports, numbers: string, said: string[]]>([
    [
      'a test, with the first line of its failure',
      { 'tests.json': [again('Error: timed out\n    at a.test.ts:1', 'Error: another'), passed] },
      '2 0 0 0 1\n',
      ['test/a.test.ts: one: Error: timed out'],
    ],
    [
      'a point of the crash test',
      { 'crash.json': crash(5, 0, ['patch: call 7']) },
      '5 0 0 0 1\n',
      ['make crash-test: patch: call 7'],
    ],
    [
      'both, from several reports',
      {
        'crash.json': crash(5, 0, ['patch: call 7', 'minor: call 8']),
        'tests.json': [again('Error: a')],
        'tests-slow.json': [{ ...again('Error: b'), file: 'test/b.slow.test.ts' }],
      },
      '7 0 0 0 4\n',
      [
        'test/a.test.ts: one: Error: a',
        'test/b.slow.test.ts: one: Error: b',
        'make crash-test: patch: call 7',
        'make crash-test: minor: call 8',
      ],
    ],
    [
      'nothing that passed at once',
      { 'tests.json': [again()], 'crash.json': crash(5, 0, []) },
      '6 0 0 0 0\n',
      [],
    ],
    [
      'nothing that failed twice',
      {
        'tests.json': [{ ...again('Error: a', 'Error: a'), status: 'failed' }],
        'crash.json': crash(5, 1, []),
      },
      '5 2 0 0 0\n',
      [],
    ],
  ])('names what passed on its second try: %s', (_, reports, numbers, said) => {
    const counted = count(reports);
    expect(counted.numbers).toBe(numbers);
    expect([...counted.said].sort()).toEqual(said.map((what) => `passed on its second try: ${what}`).sort());
  });

  it.each([
    ['cut off', crash(5, 0).slice(0, -1)],
    ['empty', ''],
    ['no JSON', 'Killed\n'],
    ['no object', 'null'],
    ['without one of the sums', '{"numPassedTests":5,"numFailedTests":0}'],
    ['with a sum that is no number', crash(5, 0).replace('5', '"5"')],
  ])('counts a report that is %s as a failure, names it and counts the others', (_, text) => {
    const reports = {
      'tests.json': [passed, test('failed', 'two')],
      'tests-slow.json': text,
      'crash.json': text,
    };
    const { numbers, said } = count(reports);
    expect(numbers).toBe('1 3 0 0 0\n');
    const named = ['crash', 'tests-slow'].map((name) => `.cache/${name}.json is not a complete report`);
    expect([...said].sort()).toEqual(named);
  });
});
