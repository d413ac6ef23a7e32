import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { figuresOf, readCounted, render } from '../test/docs/figures.ts';
import { readDocument, root } from '../test/docs/markdown.ts';

/** Writes what the last whole run has counted into the README. */
try {
  const readme = readDocument('README.md');
  const figures = render(readCounted(join(root, '.cache')));
  writeFileSync(
    join(root, 'README.md'),
    readme.replace(figuresOf(readme), () => figures),
  );
  console.log(figures);
} catch (error) {
  console.error((error as Error).message);
  process.exitCode = 1;
}
