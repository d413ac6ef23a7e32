import { describe, expect, it, test } from 'vitest';
import { isRequested, readRequest } from './request-options.ts';

const inputs = '{"target_version":"1.34.5","kind":"patch"}';

describe('a request', () => {
  it('is the same from --inputs and from flags', () => {
    expect(readRequest({ targetVersion: '1.34.5', kind: 'patch' })).toEqual(readRequest({ inputs }));
  });

  test.each([
    ['--target-version', { targetVersion: '1.34.5' }],
    ['--kind', { kind: 'patch' }],
    ['--stages', { stages: 'preflight' }],
    ['--dry-run', { dryRun: true }],
  ])('is refused when %s comes beside --inputs', (flag, more) => {
    expect(() => readRequest({ inputs, ...more })).toThrow(`${flag}: "beside --inputs" is not allowed`);
  });

  it('with an empty list of stages is not one for all stages', () => {
    expect(() => readRequest({ targetVersion: '1.34.5', kind: 'patch', stages: '' })).toThrow(
      'stages: "" is not allowed; expected all, or some of preflight',
    );
  });

  it('is there as soon as a part of it is', () => {
    expect(isRequested({})).toBe(false);
    expect(isRequested({ inputs })).toBe(true);
    expect(isRequested({ kind: 'minor' })).toBe(true);
    expect(isRequested({ stages: 'nonsense' })).toBe(true);
  });
});
