import fc from 'fast-check';
import { parseRelease, type Release } from '../release.ts';

export const releaseOfParts = (x: number, y: number, z: number): Release =>
  parseRelease('test', `${x}.${y}.${z}`);

/** Any release at all. */
export const anyRelease: fc.Arbitrary<Release> = fc
  .tuple(fc.nat(9_999), fc.nat(9_999), fc.nat(9_999))
  .map(([x, y, z]) => releaseOfParts(x, y, z));

/** A release of 1.33 to 1.36, so that two of them are often near each other. */
export const nearRelease: fc.Arbitrary<Release> = fc
  .tuple(fc.integer({ min: 33, max: 36 }), fc.nat(6))
  .map(([y, z]) => releaseOfParts(1, y, z));
