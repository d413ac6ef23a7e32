import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from '../test/docs/markdown.ts';
import { draw, shownOf } from '../test/docs/picture.ts';

/** Plays the default rehearsal and writes the README's picture of it. */
const rehearsal = spawnSync(process.execPath, ['--import', 'tsx', 'test/lab/rehearse/main.ts'], {
  cwd: root,
  encoding: 'utf8',
  env: { ...process.env, FORCE_COLOR: '1', NO_COLOR: undefined },
});
if (rehearsal.status === 0) {
  const prompt = '\u001b[32m$\u001b[39m \u001b[1mmake rehearse\u001b[22m';
  writeFileSync(join(root, 'docs/rehearsal.svg'), draw([prompt, ...shownOf(rehearsal.stdout)]));
} else {
  console.error(`error: the rehearsal ended with exit code ${rehearsal.status}\n${rehearsal.stderr}`);
  process.exitCode = 1;
}
