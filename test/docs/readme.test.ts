import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { scenarios } from '../lab/rehearse/scenarios.ts';
import { readDocument, root } from './markdown.ts';

const readme = readDocument('README.md');

describe('the README', () => {
  it('is read in one sitting', () => {
    const lines = readme.trimEnd().split('\n');
    expect(lines.length).toBeLessThanOrEqual(126);
    expect(lines.filter((line) => line.length > 126)).toEqual([]);
  });

  it('names every scenario of the rehearsal', () => {
    for (const { name } of scenarios) expect(readme).toContain(`| \`${name}\` |`);
  });

  it.each([
    ['a drain', 'runtime/src/drain/'],
    ['a Job of a run', 'runtime/src/jobs/'],
    ['what a rollout remembers', 'runtime/src/rollout/'],
    ['a gate', 'runtime/src/gates/'],
  ])('names the folder of %s', (what, folder) => {
    expect(readme).toContain(`| ${what} | \`${folder}\` |`);
    expect(existsSync(join(root, folder))).toBe(true);
  });
});

it.each(['README.md', 'CONTRIBUTING.md', 'docs/testing.md'])(
  'every make target that %s names exists',
  (path) => {
    const targets = [...readDocument(path).matchAll(/(?:`|^)make ([a-z-]+)/gm)].map(
      ([, target]) => target ?? '',
    );
    expect(targets).not.toEqual([]);
    for (const target of new Set(targets)) {
      expect(spawnSync('make', ['--dry-run', target], { cwd: root, encoding: 'utf8' }).stderr).not.toContain(
        'No rule',
      );
    }
  },
);

it('every make target is named in the guide for contributors', () => {
  const [, list = ''] = /^\.PHONY: (.+)$/m.exec(readDocument('Makefile')) ?? [];
  const guide = readDocument('CONTRIBUTING.md');
  const targets = list.split(' ').filter((target) => !['setup', 'clean'].includes(target));
  expect(targets.length).toBeGreaterThan(10);
  expect(targets.filter((target) => !guide.includes(`make ${target}`))).toEqual([]);
});
