import { describe, expect, it } from 'vitest';
import { readDocument } from './markdown.ts';

interface Failure {
  readonly number: string;
  readonly answer: string;
  readonly playedIn: string;
}

const failures = [
  ...readDocument('docs/architecture/failures.md').matchAll(
    /^\| (?<number>F\d+) \| [^|]+ \| (?<answer>[^|]+) \| (?<playedIn>[^|]+) \|$/gm,
  ),
].map(({ groups }) => groups as unknown as Failure);

describe('of each way to fail', () => {
  it('there is a line, none left out', () => {
    expect(failures.map(({ number }) => number)).toEqual(Array.from({ length: 32 }, (_, i) => `F${i + 1}`));
  });

  it.each(failures)('$number is played by a test that has its number, or cannot be staged', (failure) => {
    const { number, answer, playedIn } = failure;
    const [, path] = /^`(.+)`$/.exec(playedIn) ?? [];
    if (path === undefined) return expect(answer).toMatch(/^Cannot be staged: /);
    const titles =
      readDocument(path).match(/(?:\b(?:it|test|describe)\(|\btitle: |^\s*)\s*['"`][^\n]*\bF\d+\b[^\n]*/gm) ??
      [];
    expect(titles.filter((title) => new RegExp(`\\b${number}\\b`).test(title))).not.toEqual([]);
  });
});
