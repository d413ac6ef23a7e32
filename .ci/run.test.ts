import { spawnSync } from 'node:child_process';
import { chmodSync, copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { temporaryFile } from '../runtime/src/testing/files.ts';
import { root } from '../test/docs/markdown.ts';
import { applyTest, report, type Test } from './test-report.ts';

interface Ci {
  /** How many tests passed after a failure. */
  readonly again?: number;
  /** Of the tests that `make conformance` reports beside one that passes. */
  readonly skipped?: { readonly file: string; readonly fullName: string };
  /** Bash that `make` runs for each target. */
  readonly make?: string;
  readonly seconds?: number;
}

/** `.ci/run` in a separate checkout, with a `make` that only reports. */
function ci({ skipped, again = 0, make = '', seconds }: Ci) {
  const project = dirname(temporaryFile(''));
  for (const directory of ['.ci', '.cache', 'bin']) mkdirSync(join(project, directory));
  for (const file of ['.ci/run', '.ci/count.mjs']) copyFileSync(join(root, file), join(project, file));
  const tests: Test[] = [{ file: 'test/one.test.ts', fullName: 'one', status: 'passed' }];
  for (let n = 1; n <= again; n += 1) {
    const test = { file: `test/again-${n}.test.ts`, fullName: 'again', status: 'passed' };
    tests.push({ ...test, failureMessages: ['Error: timed out'] });
  }
  if (skipped !== undefined) tests.push({ ...skipped, status: 'skipped' });
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
    expect(made).toEqual([
      'test',
      'rehearse',
      'test-slow',
      'crash-test',
      'hosts-test',
      'conformance',
      'cluster-test',
    ]);
  });

  it('lets providers be missing', () => {
    const what = 'the provider kubernetes 2.38.0, the provider vault 5.6.0';
    const fullName = `scripts/tg with the real providers (missing: ${what}): main.ts applies all of it`;
    const { status, last } = ci({ skipped: { file: applyTest, fullName } });
    expect([status, last]).toEqual([0, '1 passed, 0 failed, 1 skipped']);
  });

  it('and fails for anything else', () => {
    const { status, stdout, stderr, last } = ci({ skipped: { file: 'test/two.test.ts', fullName: 'two' } });
    expect([status, last]).toEqual([1, '1 passed, 1 failed, 1 skipped']);
    expect(stdout).toContain('failed: tests that this machine cannot run\n');
    expect(stderr).toContain('skipped: test/two.test.ts: two\n');
  });

  it('names what passed on its second try, and lets few do so', () => {
    const few = ci({ again: 3 });
    expect([few.status, few.last]).toEqual([0, '4 passed, 0 failed, 0 skipped']);
    expect(few.stderr).toContain('passed on its second try: test/again-3.test.ts: again: Error: timed out');
    const many = ci({ again: 4 });
    expect([many.status, many.last]).toEqual([1, '5 passed, 1 failed, 0 skipped']);
  });

  it('fails for a report that is cut off, and counts the others', () => {
    const { status, stderr, last } = ci({
      make: `[[ $1 != test-slow ]] || printf '{"numPassedTests":7' >.cache/tests-slow.json`,
    });
    expect([status, last]).toEqual([1, '1 passed, 1 failed, 0 skipped']);
    expect(stderr).toContain('.cache/tests-slow.json is not a complete report\n');
  });

  it('fails when nothing could be counted', () => {
    const { status, stdout, last } = ci({ make: 'ln -sf "$(type -P false)" bin/node' });
    expect([status, last]).toEqual([1, '0 passed, 1 failed, 0 skipped']);
    expect(stdout).toContain('failed: counting the reports\n');
  });

  it('prints its last line in time, whatever hangs', () => {
    const { status, stdout, last, made, took } = ci({ make: '[[ $1 != rehearse ]] || sleep 60', seconds: 3 });
    expect(took).toBeLessThan(20_000);
    expect(made).toEqual(['test', 'rehearse']);
    expect(stdout).toContain('== make conformance: not run, the limit of 3 s is used up');
    expect(status).toBe(1);
    expect(last).toMatch(/^0 passed, \d+ failed, 0 skipped$/);
  });
});
