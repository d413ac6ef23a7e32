import { setMaxListeners } from 'node:events';
import { crashed, main } from './program.ts';

// Deprecation warnings of dependencies are for their maintainers, not for a pod's log.
process.noDeprecation = true;
// A connection to every node and an eviction of every pod listen to the same signal. Above ten listeners
// Node.js logs a warning about a leak.
setMaxListeners(0);
// Node.js would exit with 1, which means "failed". With any other code the Job starts a new process.
process.on('uncaughtException', (error) => {
  process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`);
  process.exit(crashed);
});
void main(process.argv);
