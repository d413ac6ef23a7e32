import { spawnSync } from 'node:child_process';
import { expect, it } from 'vitest';
import { readDocument, root } from './markdown.ts';
import { cutLine, lasting, linesOf, shownOf } from './picture.ts';

it('the picture of the rehearsal in the README is what it prints today', () => {
  const [command, ...shown] = linesOf(readDocument('docs/rehearsal.svg'));
  expect(command).toBe('$ make rehearse');
  const { stdout, stderr, status } = spawnSync(
    process.execPath,
    ['--import', 'tsx', 'test/lab/rehearse/main.ts'],
    { cwd: root, encoding: 'utf8' },
  );
  expect(status, stderr).toBe(0);
  // A longer time may shift the position at which a line is cut by a character.
  const comparable = (line: string) => lasting(line).slice(0, 90);
  const printed = shownOf(stdout).map((line) => comparable(cutLine(line)));
  const missing = shown.filter((line) => !printed.includes(comparable(line)));
  expect(missing, 'no longer printed: run make picture').toEqual([]);
  expect(shown.length).toBeGreaterThan(40);
});
