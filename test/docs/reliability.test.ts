import { expect, it } from 'vitest';
import { disturbances } from '../lab/crash/disturbances.ts';
import { brokenTransfers, round } from '../lab/crash/round.ts';
import { readDocument } from './markdown.ts';

it('the README says what a round of crash tests consists of, as the harness counts it', () => {
  const readme = readDocument('README.md');
  const section = readme.slice(readme.indexOf('### Reliability'), readme.indexOf('### Speed'));
  const figures = [...section.matchAll(/^\| .* \| (\d+) \|$/gm)].map(([, figure]) => Number(figure));
  const { patch, minor, ha, detector, faults } = round;
  const disturbed = disturbances.length;
  expect(figures).toEqual([patch, minor, ha, detector, faults, brokenTransfers.length, disturbed]);
  const all = patch + minor + ha + 2 * detector + faults + brokenTransfers.length + disturbed;
  expect(section).toContain(`That is ${all} upgrades and detections`);
});
