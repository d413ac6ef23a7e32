import fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import {
  compareReleases,
  isRelease,
  kindOf,
  minorOf,
  minorsBetween,
  newest,
  nextMinorOf,
  oldest,
  parseRelease,
  patchLevelOf,
  type Release,
  releaseOf,
} from './release.ts';
import { anyRelease, releaseOfParts } from './testing/arbitraries.ts';

const r = (text: string) => parseRelease('test', text);

describe('a release', () => {
  test.each(['1.34.5', '0.0.0', '1.34.0', '10.200.3000'])('can be %s', (text) => {
    expect(parseRelease('target_version', text)).toBe(text);
  });

  test.each([
    'v1.34.5',
    '1.34',
    '1.34.5.6',
    '1.34.5-rc.1',
    '1.34.5+k3s1',
    '01.34.5',
    '1.034.5',
    '1.34.05',
    ' 1.34.5',
    '1.34.5\n',
    '1.34.5;reboot',
    '$(id)',
    '1.34.x',
    '-1.34.5',
    '1.34.99999',
    '١.٣٤.٥',
    '',
  ])('cannot be %j: the error names the field, the value and what is allowed', (text) => {
    expect(() => parseRelease('target_version', text)).toThrow(
      `target_version: ${JSON.stringify(text)} is not allowed; expected a release X.Y.Z such as 1.34.5`,
    );
  });

  it('is exactly three numbers, with nothing before or after', () => {
    fc.assert(
      fc.property(anyRelease, fc.string({ minLength: 1, maxLength: 3 }), (release, more) => {
        expect(isRelease(release)).toBe(true);
        const longer = [`${release}${more}`, `${more}${release}`].filter((text) => !/^[\d.]+$/.test(text));
        for (const text of longer) expect(isRelease(text)).toBe(false);
      }),
    );
  });

  it('holds only digits and two dots, so it is safe in a command line', () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom(...'0123456789.v-$;|&\n `') }), (text) => {
        if (isRelease(text)) expect(text).toMatch(/^\d+\.\d+\.\d+$/);
      }),
      { numRuns: 2_000 },
    );
  });
});

describe('the release of a gitVersion', () => {
  test.each([
    ['v1.34.2', '1.34.2'],
    ['1.34.2', '1.34.2'],
    ['v1.34.2+k3s1', '1.34.2'],
    ['v1.35.0-rc.1', undefined],
    ['v1.35.0-alpha.0.12+abc', undefined],
    ['vv1.34.2', undefined],
    ['unknown', undefined],
    ['', undefined],
  ])('%s → %s', (given, release) => {
    expect(releaseOf(given)).toBe(release);
  });
});

describe('order', () => {
  const parts = (release: Release) => release.split('.').map(Number);
  const numerically = (a: Release, b: Release) => {
    const other = parts(b);
    return Math.sign(
      parts(a)
        .map((n, i) => n - (other[i] ?? 0))
        .find((d) => d !== 0) ?? 0,
    );
  };

  it('is numeric, not alphabetical', () => {
    expect(compareReleases(r('1.9.0'), r('1.10.0'))).toBe(-1);
    fc.assert(
      fc.property(anyRelease, anyRelease, (a, b) => {
        expect(compareReleases(a, b)).toBe(numerically(a, b));
      }),
    );
  });

  it('gives the oldest and the newest release without changing the list', () => {
    fc.assert(
      fc.property(fc.array(anyRelease, { minLength: 1 }), (releases) => {
        const before = [...releases];
        const sorted = [...releases].sort(numerically);
        expect([oldest(releases), newest(releases)]).toEqual([sorted[0], sorted.at(-1)]);
        expect(releases).toEqual(before);
      }),
    );
    expect([oldest([]), newest([])]).toEqual([undefined, undefined]);
  });
});

describe('minors', () => {
  it('are read from the release, and so are the next minor and the patch level', () => {
    fc.assert(
      fc.property(fc.nat(99), fc.nat(99), fc.nat(99), (x, y, z) => {
        const release = releaseOfParts(x, y, z);
        expect([minorOf(release), nextMinorOf(release), patchLevelOf(release)]).toEqual([
          `${x}.${y}`,
          `${x}.${y + 1}`,
          z,
        ]);
      }),
    );
  });

  test.each([
    ['1.34.2', '1.34.5', 0, 'patch'],
    ['1.34.5', '1.34.2', 0, 'patch'],
    ['1.34.5', '1.35.1', 1, 'minor'],
    ['1.34.5', '1.36.0', 2, undefined],
    ['1.34.5', '1.33.9', -1, undefined],
    ['1.34.5', '2.35.0', undefined, undefined],
  ])('%s → %s is %s minors ahead, a step of kind %s (F14)', (from, to, minors, kind) => {
    expect([minorsBetween(r(from), r(to)), kindOf(r(from), r(to))]).toEqual([minors, kind]);
  });
});
