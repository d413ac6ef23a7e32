import fc from 'fast-check';
import { parseRelease, type Release } from '../release.ts';

/** `releaseOfParts(1, 34, 5)` is 1.34.5. */
export const releaseOfParts = (x: number, y: number, z: number): Release =>
  parseRelease('test', `${x}.${y}.${z}`);

/** Any release. */
export const anyRelease: fc.Arbitrary<Release> = fc
  .tuple(fc.nat(9_999), fc.nat(9_999), fc.nat(9_999))
  .map(([x, y, z]) => releaseOfParts(x, y, z));

/** A release of 1.33 to 1.36, so that two of them are often close to each other. */
export const nearRelease: fc.Arbitrary<Release> = fc
  .tuple(fc.integer({ min: 33, max: 36 }), fc.nat(6))
  .map(([y, z]) => releaseOfParts(1, y, z));
