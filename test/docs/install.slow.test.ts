import { copyFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { Lab } from '../lab/lab.ts';
import { bashBlocks, readDocument } from './markdown.ts';
import { everywhere, Operator, ready, releases } from './operator.ts';

const blocks = ['README.md', 'docs/install.md'].flatMap((path) =>
  bashBlocks(readDocument(path))
    .filter(({ lab }) => lab !== undefined)
    .map((block) => ({ path, ...block })),
);

describe.skipIf(!ready)('the first upgrade, as a newcomer types it', () => {
  it('is in the README and in the installation guide', () => {
    expect(blocks.map(({ path, lab }) => [path, lab])).toEqual([
      ['README.md', 'own'],
      ['docs/install.md', 'own'],
    ]);
  });

  it.each(blocks)('$path, $section', async ({ text }) => {
    const lab = await Lab.start();
    try {
      const operator = await Operator.at(lab);
      const home = join(lab.dir, 'bin');
      copyFileSync(lab.settingsFile, join(home, 'settings.yaml'));
      const [reading, upgrade] = [text.slice(0, lastCommand(text)), text.slice(lastCommand(text))];
      await operator.types(reading, {}, home);
      expect(releases(lab)).toEqual(everywhere(lab, '1.34.2'));
      // The variables of the first commands are those of the same shell.
      await operator.types(`export K8S_UPGRADE_SETTINGS=settings.yaml\n${upgrade}`, {}, home);
      expect(releases(lab)).toEqual(everywhere(lab, '1.34.5'));
    } finally {
      await lab.stop();
    }
  });
});

/** Where the last command of a block starts: the one that upgrades. */
const lastCommand = (text: string): number => text.trimEnd().lastIndexOf('\n') + 1;
