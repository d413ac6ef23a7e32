import { setMaxListeners } from 'node:events';
import { exitCodes } from '../errors.ts';
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
// A reader may stop early (`status | head -1`, a script that is piped into bash and prints its --help). What
// was started is finished without it: a run must not stop in the middle because of its log.
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') return;
    process.stderr.write(`the output could not be written: ${error.message}\n`);
    process.exit(exitCodes.failed);
  });
}
void main(process.argv);
