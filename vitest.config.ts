import { defineConfig } from 'vitest/config';

const elsewhere = '**/{node_modules,dist,cdktf.out,.cache}/**';
const slow = '**/*.slow.test.ts';
const hosts = 'test/hosts/*.hosts.test.ts';
const cluster = 'test/cluster/*.cluster.test.ts';
const conformance = 'test/conformance/**/*.test.ts';

/**
 * Scenarios on a real control plane: each has the machine to itself, and more time. See test/lab/README.md.
 */
const isReal = process.env.LAB_API === 'real';
const patience = isReal ? 4 : 1;

export default defineConfig({
  test: {
    globalSetup: 'test/assemble-scripts.ts',
    testTimeout: 120_000 * patience,
    hookTimeout: 120_000 * patience,
    // The processes of a lab wait for each other half of the time: three labs use two cores.
    maxWorkers: isReal ? 1 : 3,
    // CI shares its machine: a second try is allowed, and `.ci/run` limits them. Elsewhere there is no retry.
    retry: process.env.CI === 'true' ? 1 : 0,
    // No test file changes modules that another one imports, and the Kubernetes client is slow to load.
    isolate: false,
    projects: [
      {
        extends: true,
        test: {
          name: 'fast',
          include: ['**/*.test.ts'],
          exclude: [slow, conformance, hosts, cluster, elsewhere],
        },
      },
      // Whole upgrades: `make test-slow`.
      {
        extends: true,
        test: { name: 'slow', include: [slow], exclude: [elsewhere], testTimeout: 300_000 * patience },
      },
      // Real hosts, as root: `make hosts-test`.
      { extends: true, test: { name: 'hosts', include: [hosts] } },
      // Real kubeadm clusters, as root: `make cluster-test`.
      {
        extends: true,
        test: {
          name: 'cluster',
          include: [cluster],
          fileParallelism: false,
          testTimeout: 300_000,
          hookTimeout: 300_000,
        },
      },
      // Against a real control plane, which `make conformance` builds first.
      {
        extends: true,
        test: { name: 'conformance', include: [conformance], fileParallelism: false, hookTimeout: 300_000 },
      },
    ],
  },
});
