import { setMaxListeners } from 'node:events';
import { main } from './program.ts';

// What dependencies still use of old Node.js is for their maintainers, not for a pod's log.
process.noDeprecation = true;
// All that goes on at once waits for one signal: a connection to every node, an eviction of every pod. Node.js takes more
// than ten for a leak and says so in the log.
setMaxListeners(0);
void main(process.argv);
