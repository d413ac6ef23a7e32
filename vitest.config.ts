import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: [
      'runtime/src/**/*.test.ts',
      'constructs/**/*.test.ts',
      'alerts/**/*.test.ts',
      'test/**/*.test.ts',
    ],
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // A lab is several processes; two cores carry two of them.
    maxWorkers: 2,
  },
});
