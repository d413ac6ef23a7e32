import { expect, test } from 'vitest';
import { firstAnswer } from './session.ts';

test('the wait for a first answer is short for a person, and a whole outage in every pod', () => {
  expect(firstAnswer({}, 600_000)).toBe(10_000);
  expect(firstAnswer({}, 3_000)).toBe(3_000);
  // The kubelet sets this variable in every pod; the detector's CronJob sets none.
  expect(firstAnswer({ KUBERNETES_SERVICE_HOST: '10.96.0.1' }, 600_000)).toBe(600_000);
});
