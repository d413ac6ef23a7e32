/**
 * Builds what the clusters of these releases need, before the tests are in a network of their own. With
 * `--is-built`, the exit code says whether all of it is there, and nothing is built.
 *
 *   node --import tsx test/cluster/build.ts [--is-built] RELEASE…
 */
import { Programs } from './programs.ts';

const [first, ...rest] = process.argv.slice(2);
if (first === '--is-built') process.exit(rest.every((release) => Programs.isBuilt(release)) ? 0 : 1);
new Programs(process.argv.slice(2));
