import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readDocument, root } from './markdown.ts';

const records = readdirSync(join(root, 'docs/adr')).sort();
const sections = ['Context', 'Decision', 'Consequences', 'Rejected alternatives'];

it('the decisions are numbered without a gap', () => {
  expect(records.map((name) => Number(name.slice(0, 4)))).toEqual(records.map((_, index) => index + 1));
});

describe.each(records)('docs/adr/%s', (name) => {
  const text = readDocument(`docs/adr/${name}`);

  it('has a number, a date and a status', () => {
    expect(text).toMatch(new RegExp(`^# ${Number(name.slice(0, 4))}\\. .+\\n`));
    const [, date, status] = /^\| Date \| Status \|\n\|---\|---\|\n\| (\S+) \| (.+) \|$/m.exec(text) ?? [];
    expect(date).toMatch(/^20\d\d-\d\d-\d\d$/);
    expect(Number.isNaN(Date.parse(date ?? ''))).toBe(false);
    expect(status).toMatch(/^(Proposed|Accepted|Rejected|Superseded by \[.+\]\(.+\))$/);
  });

  it('has its sections, and a reason for each alternative that was rejected', () => {
    expect([...text.matchAll(/^## (.+)$/gm)].map(([, heading]) => heading)).toEqual(sections);
    const [, rejected = ''] = text.split('## Rejected alternatives\n\n');
    const alternatives = rejected.trimEnd().split(/\n(?=- )/);
    expect(alternatives.length).toBeGreaterThan(1);
    for (const one of alternatives) expect(one).toMatch(/^- \*\*[^*]+\*\*[^:]*: \S.{15,}/);
  });
});
