import { readdirSync, readFileSync } from 'node:fs';

/**
 * Every process of a node, in any session: all of them have the node's directory in their environment.
 *
 * @returns process ids, without that of this process.
 */
export function processesOf(directory: string): number[] {
  const variable = `LAB_NODE_DIR=${directory}\0`;
  return readdirSync('/proc')
    .map(Number)
    .filter((pid) => Number.isInteger(pid) && pid !== process.pid && environmentOf(pid).includes(variable));
}

/** Empty when the process is gone or belongs to another user. */
function environmentOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/environ`, 'latin1');
  } catch {
    return '';
  }
}

/** Kills all processes of a node, as a power cut does, also those that they start in the meantime. */
export function killProcessesOf(directory: string): void {
  for (let round = 0; round < 20; round++) {
    const pids = processesOf(directory);
    if (pids.length === 0) return;
    for (const pid of pids) kill(pid);
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It has ended already.
  }
}
