import { join } from 'node:path';

/** The one test that may be skipped, for Terraform's providers. */
export const applyTest = 'test/conformance/terraform/apply.test.ts';

export interface Test {
  readonly file: string;
  readonly fullName: string;
  readonly status: string;
  readonly failureMessages?: readonly string[];
}

/** What vitest reports of tests in a checkout, as far as CI reads it. */
export function report(project: string, tests: readonly Test[]) {
  const count = (...wanted: string[]) => tests.filter(({ status }) => wanted.includes(status)).length;
  return {
    numPassedTests: count('passed'),
    numFailedTests: count('failed'),
    numPendingTests: count('skipped', 'pending'),
    testResults: tests.map(({ file, ...test }) => ({ name: join(project, file), assertionResults: [test] })),
  };
}
