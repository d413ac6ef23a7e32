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
    // A lab is several processes that wait for each other half of the time: three of them fill two cores.
    maxWorkers: 3,
    // No test file changes what another one imports, and the Kubernetes client is large.
    isolate: false,
  },
});
