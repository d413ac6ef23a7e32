import { join } from 'node:path';

/** The only test that may be skipped, when Terraform's providers are not available. */
export const applyTest = 'test/conformance/terraform/apply.test.ts';

export interface Test {
  readonly file: string;
  readonly fullName: string;
  readonly status: string;
  readonly failureMessages?: readonly string[];
}

/** The parts of vitest's JSON report that CI reads. */
export function report(project: string, tests: readonly Test[]) {
  const count = (...wanted: string[]) => tests.filter(({ status }) => wanted.includes(status)).length;
  return {
    numPassedTests: count('passed'),
    numFailedTests: count('failed'),
    numPendingTests: count('skipped', 'pending'),
    testResults: tests.map(({ file, ...test }) => ({ name: join(project, file), assertionResults: [test] })),
  };
}
