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

describe('the record of failures', () => {
  it('has a line for each of the first 32 numbers, and every line in the order of the numbers', () => {
    const numbers = failures.map(({ number }) => Number(number.slice(1)));
    expect(numbers.slice(0, 32)).toEqual(Array.from({ length: 32 }, (_, i) => i + 1));
    expect(numbers).toEqual([...new Set(numbers)].sort((a, b) => a - b));
  });

  it.each(failures)(
    'names tests of $number with its number in their titles, or states why there are none',
    (failure) => {
      const { number, answer, playedIn } = failure;
      if (playedIn === '–') return expect(answer).toMatch(/^Cannot be staged: /);
      for (const place of playedIn.split(', ')) {
        const path = /^`(.+)`$/.exec(place)?.[1] ?? '';
        const titles =
          readDocument(path).match(/(?:\b(?:it|test|describe)\(|\btitle: |^\s*)\s*['"`][^\n]*\bF\d+\b/gm) ??
          [];
        const numbers = titles.flatMap((title) => title.match(/\bF\d+\b/g) ?? []);
        expect(numbers, path).toContain(number);
      }
    },
  );
});
