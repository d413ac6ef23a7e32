import { defineConfig } from 'vitest/config';

const elsewhere = '**/{node_modules,dist,cdktf.out,.cache}/**';
const slow = '**/*.slow.test.ts';
const hosts = 'test/hosts/*.hosts.test.ts';
const conformance = 'test/conformance/**/*.test.ts';

export default defineConfig({
  test: {
    globalSetup: 'test/assemble-scripts.ts',
    testTimeout: 120_000,
    hookTimeout: 120_000,
    // A lab is several processes that wait for each other half of the time: three of them fill two cores.
    maxWorkers: 3,
    // CI, on a machine that others use too, gives a second try; `.ci/run` names each and allows few. By hand the first counts.
    retry: process.env.CI === 'true' ? 1 : 0,
    // No test file changes what another one imports, and the Kubernetes client is large.
    isolate: false,
    projects: [
      {
        extends: true,
        test: { name: 'fast', include: ['**/*.test.ts'], exclude: [slow, conformance, hosts, elsewhere] },
      },
      // Whole upgrades, one after the other: `make test-slow`.
      { extends: true, test: { name: 'slow', include: [slow], exclude: [elsewhere], testTimeout: 300_000 } },
      // Real hosts, as root: `make hosts-test`.
      { extends: true, test: { name: 'hosts', include: [hosts] } },
      // Against a real control plane, which `make conformance` builds first.
      {
        extends: true,
        test: { name: 'conformance', include: [conformance], fileParallelism: false, hookTimeout: 300_000 },
      },
    ],
  },
});
