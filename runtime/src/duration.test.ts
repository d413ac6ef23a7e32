import fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import { formatDuration, parseDuration } from './duration.ts';

describe('parsing a duration', () => {
  test.each([
    ['250ms', 250],
    ['2.5s', 2_500],
    ['10m', 600_000],
    ['1.5h', 5_400_000],
    ['3d', 259_200_000],
    ['0s', 0],
    ['1.005s', 1_005],
  ])('%s is %i ms', (text, ms) => {
    expect(parseDuration(text)).toBe(ms);
  });

  test.each([
    '',
    '10',
    'm',
    '10 m',
    ' 10m',
    '10m ',
    '10m30s',
    '-1m',
    '+1m',
    '.5m',
    '1.m',
    '1e3s',
    '10M',
    '10min',
    '1w',
    `${'9'.repeat(400)}d`,
  ])('rejects %j', (text) => {
    expect(parseDuration(text)).toBeUndefined();
  });

  it('returns whole milliseconds, which every timer accepts', () => {
    const amount = fc.double({ min: 0, max: 1_000, noNaN: true }).map((n) => n.toFixed(4));
    fc.assert(
      fc.property(amount, fc.constantFrom('ms', 's', 'm', 'h', 'd'), (n, unit) => {
        expect(Number.isSafeInteger(parseDuration(`${n}${unit}`))).toBe(true);
      }),
    );
  });
});

describe('formatting a duration', () => {
  test.each([
    [0, '0.0s'],
    [2_500, '2.5s'],
    [59_949, '59.9s'],
    [59_999, '1m'],
    [60_000, '1m'],
    [754_000, '12m34s'],
    [3_599_700, '1h'],
    [3_600_000, '1h'],
    [5_400_000, '1h30m'],
    [86_400_000 + 61_000, '1d1m'],
    [100 * 86_400_000 + 3_600_000, '100d1h'],
  ])('%i ms is %s', (ms, text) => {
    expect(formatDuration(ms)).toBe(text);
  });

  it('round-trips durations with one unit', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 23 }), fc.constantFrom('m', 'h'), (n, unit) => {
        expect(formatDuration(parseDuration(`${n}${unit}`) ?? Number.NaN)).toBe(`${n}${unit}`);
      }),
    );
  });
});
