import { setMaxListeners } from 'node:events';
import { crashed, main } from './program.ts';

// What dependencies still use of old Node.js is for their maintainers, not for a pod's log.
process.noDeprecation = true;
// All that goes on at once waits for one signal: a connection to every node, an eviction of every pod. Node.js takes more
// than ten for a leak and says so in the log.
setMaxListeners(0);
// Node.js would end with 1, and that means that the program has decided. After a crash the Job starts a fresh process.
process.on('uncaughtException', (error) => {
  process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`);
  process.exit(crashed);
});
void main(process.argv);
