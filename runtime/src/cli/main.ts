import { main } from './program.ts';

// What dependencies still use of old Node.js is for their maintainers, not for a pod's log.
process.noDeprecation = true;
void main(process.argv);
