/**
 * Builds what the clusters of these releases need, before the tests are in a network of their own.
 *
 *   node --import tsx test/cluster/build.ts RELEASE…
 */
import { Programs } from './programs.ts';

new Programs(process.argv.slice(2));
