import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { figuresOf, readCounted, render } from '../test/docs/figures.ts';
import { readDocument, root } from '../test/docs/markdown.ts';

/** Writes the counts of the last complete run into docs/testing.md. */
const path = 'docs/testing.md';
try {
  const document = readDocument(path);
  const figures = render(readCounted(join(root, '.cache')));
  writeFileSync(
    join(root, path),
    document.replace(figuresOf(document), () => figures),
  );
  console.log(figures);
} catch (error) {
  console.error((error as Error).message);
  process.exitCode = 1;
}
