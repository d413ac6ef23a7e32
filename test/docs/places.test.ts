import { spawnSync } from 'node:child_process';
import { basename, dirname } from 'node:path';
import { expect, it, test } from 'vitest';
import { root } from './markdown.ts';

/** Folders whose tests are named after what happens in them instead of a file → what they are about. */
const folders: Readonly<Record<string, string>> = {
  'runtime/src/drain/courses': 'scenarios of a drain',
  'runtime/src/upgrade/courses': 'scenarios of a run',
  'test/conformance': 'the lab, the pipeline and Terraform against real components',
  'test/docs': 'documents',
  'test/hosts': 'complete upgrades of hosts',
  'test/cluster': 'complete upgrades of real clusters',
  'test/lab/api': 'the API server of the lab as its clients see it',
  'test/node-scripts/courses': 'failures of one script that another one repairs',
  'test/scenarios': 'scenarios of the whole program',
};
const isInFolder = (file: string) => Object.keys(folders).some((folder) => file.startsWith(`${folder}/`));

/** `a/b.slow.test.ts` → `a/b`. */
const subjectOf = (test: string) => test.replace(/(\.slow|\.hosts|\.cluster)?\.test\.ts$/, '');
const isTest = (file: string) => file.endsWith('.test.ts');

/** Tests without a file or folder of the same name beside them and whose own folder has another name. */
function misplaced(files: readonly string[]): string[] {
  const beside = new Set(
    files
      .filter((file) => !isTest(file))
      .flatMap((file) => [...parentsOf(file), file.replace(/(?<=[^/])\.[^/.]+$/, ''), file]),
  );
  return files
    .filter((file) => isTest(file) && !isInFolder(file))
    .filter((file) => !beside.has(subjectOf(file)))
    .filter((file) => basename(dirname(file)) !== basename(subjectOf(file)));
}

const parentsOf = (file: string): string[] =>
  dirname(file) === '.' ? [] : [dirname(file), ...parentsOf(dirname(file))];

const words = ['ls-files', '--cached', '--others', '--exclude-standard'];
const listed = spawnSync('git', words, { cwd: root, encoding: 'utf8' });
if (listed.status !== 0) throw new Error('this test lists the files with git: run it in a git checkout');
const project = listed.stdout.split('\n');

it('every test is beside what it tests, and has its name', () => {
  expect(project.filter(isTest).length).toBeGreaterThan(100);
  expect(misplaced(project)).toEqual([]);
});

it('every folder of scenarios has tests', () => {
  const empty = Object.keys(folders).filter(
    (folder) => !project.some((file) => isTest(file) && file.startsWith(`${folder}/`)),
  );
  expect(empty).toEqual([]);
});

test.each([
  ['a file', 'a/b.ts', 'a/b.test.ts'],
  ['a file, if slow', 'a/b.ts', 'a/b.slow.test.ts'],
  ['a bash script', 'a/b.sh', 'a/b.test.ts'],
  ['a file without an extension', '.ci/b', '.ci/b.test.ts'],
  ['a folder', 'a/b/c.ts', 'a/b.test.ts'],
  ['the folder that it is in', 'a/b/c.ts', 'a/b/b.test.ts'],
  ['a scenario', 'a/b.ts', 'test/scenarios/c.test.ts'],
])('accepts a test of %s', (_, file, test) => {
  expect(misplaced([file, test])).toEqual([]);
});

test.each([
  ['of nothing', 'a/b.ts', 'a/c.test.ts'],
  ['in another folder', 'a/b.ts', 'test/a/b.test.ts'],
  ['with only another test beside it', 'a/b.slow.test.ts', 'a/b.test.ts'],
  ['with a part of the name', 'a/b-c.ts', 'a/b.test.ts'],
])('refuses a test %s', (_, file, test) => {
  expect(misplaced([file, test])).toContain(test);
});
