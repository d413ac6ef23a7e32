import { expect, test } from 'vitest';
import { firstAnswer } from './session.ts';

test('a first answer is waited for shortly where a person waits, and as any other in a pod, the detector’s too', () => {
  expect(firstAnswer({}, 600_000)).toBe(10_000);
  expect(firstAnswer({}, 3_000)).toBe(3_000);
  // Its CronJob gives the detector no variables of its own.
  expect(firstAnswer({ KUBERNETES_SERVICE_HOST: '10.96.0.1' }, 600_000)).toBe(600_000);
});
