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
  ])('is rejected when %s is given together with --inputs', (flag, more) => {
    expect(() => readRequest({ inputs, ...more })).toThrow(`${flag}: "given with --inputs" is not allowed`);
  });

  it('with an empty list of stages is rejected, and does not mean all stages', () => {
    expect(() => readRequest({ targetVersion: '1.34.5', kind: 'patch', stages: '' })).toThrow(
      'stages: "" is not allowed; expected all, or some of preflight',
    );
  });

  it('is present as soon as one part of it is given', () => {
    expect(isRequested({})).toBe(false);
    expect(isRequested({ inputs })).toBe(true);
    expect(isRequested({ kind: 'minor' })).toBe(true);
    expect(isRequested({ stages: 'nonsense' })).toBe(true);
  });
});
