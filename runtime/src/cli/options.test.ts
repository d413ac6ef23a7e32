import { describe, expect, it, test } from 'vitest';
import { firstAnswer, isRequested, readRequest } from './options.ts';

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

test('a first answer is waited for shortly where a person waits, and as any other in a pod, the detector’s too', () => {
  expect(firstAnswer({}, 600_000)).toBe(10_000);
  expect(firstAnswer({}, 3_000)).toBe(3_000);
  // Its CronJob gives the detector no variables of its own.
  expect(firstAnswer({ KUBERNETES_SERVICE_HOST: '10.96.0.1' }, 600_000)).toBe(600_000);
});
