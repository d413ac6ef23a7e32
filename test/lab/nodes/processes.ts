import { readdirSync, readFileSync } from 'node:fs';

/**
 * Every process of a node, whatever session it is in: they all carry the node's directory in their environment.
 *
 * @returns process ids, without this one.
 */
export function processesOf(directory: string): number[] {
  const mark = `LAB_NODE_DIR=${directory}\0`;
  return readdirSync('/proc')
    .map(Number)
    .filter((pid) => Number.isInteger(pid) && pid !== process.pid && environmentOf(pid).includes(mark));
}

/** Empty when the process is gone or somebody else's. */
function environmentOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/environ`, 'latin1');
  } catch {
    return '';
  }
}

/** Kills them all at once, as losing power does; what they start meanwhile too. */
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
    // It ended by itself.
  }
}
