import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { rowLabels } from './figures.ts';
import { readDocument, root } from './markdown.ts';

it('docs/testing.md has the number of scenarios that vitest collects', async () => {
  const args = ['vitest', 'list', '--project', 'fast', '--project', 'slow', 'test/scenarios', '--json'];
  const { stdout } = await promisify(execFile)('npx', args, { cwd: root, maxBuffer: 2 ** 24 });
  const found = JSON.parse(stdout.slice(stdout.indexOf('[')));
  expect(readDocument('docs/testing.md')).toContain(`| ${rowLabels.scenarios} | ${found.length} |`);
});
