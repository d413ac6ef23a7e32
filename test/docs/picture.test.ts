import { describe, expect, it } from 'vitest';
import { readDocument } from './markdown.ts';
import { cutLine, draw, linesOf, shownOf, stageLines } from './picture.ts';

const picture = readDocument('docs/rehearsal.svg');
const stale = 'docs/rehearsal.svg is not what the rehearsal prints: run make picture';

describe('the picture of the rehearsal', () => {
  it('is in the README', () => {
    expect(readDocument('README.md')).toMatch(/!\[[^\]]+\]\(docs\/rehearsal\.svg\)/);
  });

  it('shows the stages in order, with the program’s summaries', () => {
    const shown = linesOf(picture).map((line) => line.replace(/^ *[\d.]+s {2}/, ''));
    const places = stageLines.map((line) => shown.findIndex((one) => one.startsWith(line.slice(0, 100))));
    expect(places, stale).not.toContain(-1);
    expect(
      [...places].sort((a, b) => a - b),
      stale,
    ).toEqual(places);
  });

  it('contains the lines that it was drawn from', () => {
    const lines = ['\u001b[2m  0.1s\u001b[22m  a <b> & c', '⋮', `  1.0s  ${'x'.repeat(200)}`];
    expect(linesOf(draw(lines))).toEqual(lines.map(cutLine));
    expect(cutLine(lines[2] ?? '')).toHaveLength(118);
  });

  it('omits two of the workers, most Slack messages and the end of the lab', () => {
    const printed = [
      '  1.0s  slack  first',
      '  1.1s  k8s-node4: done',
      '  1.2s  k8s-node3: draining',
      '  1.3s  slack  between',
      '  1.4s  k8s-node2: draining',
      '  1.5s  slack  last',
      '  1.6s  the run ended: done',
      '  1.7s  read pod: no answer from the API server',
      '  1.8s  the API server answers again, after 0.1s',
      '│ node │',
      'patch: exit 0',
    ];
    expect(shownOf(printed.join('\n'))).toEqual([
      ...['  1.0s  slack  first', '  1.1s  k8s-node4: done', '⋮', '  1.5s  slack  last'],
      ...['  1.6s  the run ended: done', '│ node │', 'patch: exit 0'],
    ]);
  });
});
