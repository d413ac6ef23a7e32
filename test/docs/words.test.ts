import { describe, expect, it } from 'vitest';
import { stageRows } from '../../runtime/src/rollout/stages.ts';
import { documents, readDocument } from './markdown.ts';
import { foreignWordsIn, proseOf } from './words.ts';

describe('words that are not the field’s', () => {
  it.each(documents)('are not in %s', (path) => {
    // What the table of the stages has is the program's; another test compares both.
    const summaries = stageRows.map(({ summary }) => summary);
    const own = summaries.reduce((text, summary) => text.replaceAll(summary, ''), readDocument(path));
    expect(foreignWordsIn(proseOf(own))).toEqual([]);
  });

  it('are found by their line, in prose only', () => {
    const text = 'Nothing was touched.\n```\nlegs\n```\nThe label `k8s-upgrade/leg`, and a leg.\nIt goes on.';
    expect(foreignWordsIn(proseOf(text))).toEqual([
      'line 1: "touched"; write changed: Nothing was touched.',
      expect.stringMatching(/^line 5: "leg"; write Job: /),
      expect.stringMatching(/^line 6: "goes on"; /),
    ]);
  });
});
