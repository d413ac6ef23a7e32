import { spawnSync } from 'node:child_process';
import { chmodSync, copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { temporaryFile } from '../../runtime/src/testing/files.ts';
import { root } from './markdown.ts';

const applyTest = 'test/conformance/terraform/apply.test.ts';
interface Test {
  readonly file: string;
  readonly fullName: string;
  readonly status: string;
  readonly failureMessages?: readonly string[];
}

const report = (project: string, tests: readonly Test[]) => ({
  numPassedTests: tests.filter(({ status }) => status === 'passed').length,
  numFailedTests: 0,
  numPendingTests: tests.filter(({ status }) => status === 'pending').length,
  testResults: tests.map(({ file, ...test }) => ({ name: join(project, file), assertionResults: [test] })),
});

interface Ci {
  /** How many tests passed after a failure. */
  readonly again?: number;
  /** Of the tests that `make conformance` reports beside one that passes. */
  readonly skipped?: { readonly file: string; readonly fullName: string };
  /** Bash that `make` runs for each target. */
  readonly make?: string;
  readonly seconds?: number;
}

/** `.ci/run` in a checkout of its own, with a `make` that does nothing but report. */
function ci({ skipped, again = 0, make = '', seconds }: Ci) {
  const project = dirname(temporaryFile(''));
  for (const directory of ['.ci', '.cache', 'bin']) mkdirSync(join(project, directory));
  copyFileSync(join(root, '.ci/run'), join(project, '.ci/run'));
  const tests: Test[] = [{ file: 'test/one.test.ts', fullName: 'one', status: 'passed' }];
  for (let n = 1; n <= again; n += 1) {
    const test = { file: `test/again-${n}.test.ts`, fullName: 'again', status: 'passed' };
    tests.push({ ...test, failureMessages: ['Error: timed out'] });
  }
  if (skipped !== undefined) tests.push({ ...skipped, status: 'pending' });
  writeFileSync(join(project, 'report.json'), JSON.stringify(report(project, tests)));
  const program = `#!/usr/bin/env bash\necho "$1" >>made\n${make}\n[[ $1 != conformance ]] || cp report.json .cache/tests-conformance.json\n`;
  writeFileSync(join(project, 'bin/make'), program);
  chmodSync(join(project, 'bin/make'), 0o755);
  const started = Date.now();
  const { status, stdout, stderr } = spawnSync(join(project, '.ci/run'), {
    encoding: 'utf8',
    env: {
      ...process.env,
      PATH: `${join(project, 'bin')}:${process.env.PATH}`,
      ...(seconds !== undefined && { CI_SECONDS: String(seconds) }),
    },
  });
  return {
    status,
    stdout,
    stderr,
    last: stdout.trimEnd().split('\n').at(-1),
    made: readFileSync(join(project, 'made'), 'utf8').trimEnd().split('\n'),
    took: Date.now() - started,
  };
}

describe('.ci/run', () => {
  it('plays every part, and says at last how many tests passed', () => {
    const { status, last, made } = ci({});
    expect([status, last]).toEqual([0, '1 passed, 0 failed, 0 skipped']);
    expect(made).toEqual(['test', 'rehearse', 'test-slow', 'crash-test', 'hosts-test', 'conformance']);
  });

  it('lets providers be missing', () => {
    const what = 'the provider kubernetes 2.38.0, the provider vault 5.6.0';
    const fullName = `scripts/tg with the real providers (missing: ${what}): main.ts applies all of it`;
    const { status, last } = ci({ skipped: { file: applyTest, fullName } });
    expect([status, last]).toEqual([0, '1 passed, 0 failed, 1 skipped']);
  });

  it.each([
    [
      'what an apply needs beside them',
      applyTest,
      '(missing: vault, the provider vault 5.6.0): main.ts applies',
    ],
    ['an apply without a word', applyTest, 'scripts/tg with the real providers: main.ts applies'],
    ['any other test', 'test/other.test.ts', '(missing: the provider vault 5.6.0): main.ts'],
  ])('and fails for %s', (_, file, fullName) => {
    const { status, stderr, last } = ci({ skipped: { file, fullName } });
    expect([status, last]).toEqual([1, '1 passed, 1 failed, 1 skipped']);
    expect(stderr).toContain(`skipped: ${file}: ${fullName}`);
  });

  it('names what passed at its second try, and lets few do so', () => {
    const few = ci({ again: 3 });
    expect([few.status, few.last]).toEqual([0, '4 passed, 0 failed, 0 skipped']);
    expect(few.stderr).toContain('passed at its second try: test/again-3.test.ts: again: Error: timed out');
    const many = ci({ again: 4 });
    expect([many.status, many.last]).toEqual([1, '5 passed, 1 failed, 0 skipped']);
  });

  it('prints its last line in time, whatever hangs', () => {
    const { status, stdout, last, made, took } = ci({ make: '[[ $1 != rehearse ]] || sleep 60', seconds: 3 });
    expect(took).toBeLessThan(20_000);
    expect(made).toEqual(['test', 'rehearse']);
    expect(stdout).toContain('== make conformance: not run, nothing is left of 3 s');
    expect(status).toBe(1);
    expect(last).toMatch(/^0 passed, \d+ failed, 0 skipped$/);
  });
});
