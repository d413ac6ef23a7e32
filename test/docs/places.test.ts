import { execFileSync } from 'node:child_process';
import { basename, dirname } from 'node:path';
import { expect, it, test } from 'vitest';
import { root } from './markdown.ts';

/** Folders whose tests are named after what happens in them and not after a file, each with what they are about. */
const folders: Readonly<Record<string, string>> = {
  'runtime/src/drain/courses': 'courses of events in a drain',
  'runtime/src/upgrade/courses': 'courses of events in a run',
  'test/conformance': 'the lab, the pipeline and Terraform against the real thing',
  'test/docs': 'documents',
  'test/hosts': 'whole upgrades through hosts',
  'test/lab/api': 'the API server of the lab as its clients see it',
  'test/node-scripts/courses': 'failures of one script that another one repairs',
  'test/scenarios': 'courses of events in the whole program',
};
const isInFolder = (file: string) => Object.keys(folders).some((folder) => file.startsWith(`${folder}/`));

/** `a/b.slow.test.ts` → `a/b`. */
const subjectOf = (test: string) => test.replace(/(\.slow|\.hosts)?\.test\.ts$/, '');
const isTest = (file: string) => file.endsWith('.test.ts');

/** The tests that have neither a file nor a folder of their name beside them, and do not test the folder that they are in. */
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
const project = execFileSync('git', words, { cwd: root, encoding: 'utf8' }).split('\n');

it('a test stands beside what it tests, under its name', () => {
  expect(project.filter(isTest).length).toBeGreaterThan(100);
  expect(misplaced(project)).toEqual([]);
});

it('a folder of courses of events has tests', () => {
  const empty = Object.keys(folders).filter(
    (folder) => !project.some((file) => isTest(file) && file.startsWith(`${folder}/`)),
  );
  expect(empty).toEqual([]);
});

test.each([
  ['a file', 'a/b.ts', 'a/b.test.ts'],
  ['a slow one', 'a/b.ts', 'a/b.slow.test.ts'],
  ['bash', 'a/b.sh', 'a/b.test.ts'],
  ['a file without an ending', '.ci/b', '.ci/b.test.ts'],
  ['a folder', 'a/b/c.ts', 'a/b.test.ts'],
  ['the folder that it is in', 'a/b/c.ts', 'a/b/b.test.ts'],
  ['a course of events', 'a/b.ts', 'test/scenarios/c.test.ts'],
])('in its place: a test of %s', (_, file, test) => {
  expect(misplaced([file, test])).toEqual([]);
});

test.each([
  ['of nothing', 'a/b.ts', 'a/c.test.ts'],
  ['in another folder', 'a/b.ts', 'test/a/b.test.ts'],
  ['beside another test alone', 'a/b.slow.test.ts', 'a/b.test.ts'],
  ['of a part of the name', 'a/b-c.ts', 'a/b.test.ts'],
])('out of place: a test %s', (_, file, test) => {
  expect(misplaced([file, test])).toContain(test);
});
