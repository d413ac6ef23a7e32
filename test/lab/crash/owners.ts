import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

/**
 * Finds which process holds the client's end of a loopback connection. A connection keeps its process, so each port is
 * looked up once.
 */
export class Owners {
  readonly #processes: () => ReadonlyMap<number, string>;
  readonly #known = new Map<number, { pid: number; name: string }>();

  /** @param processes process id → name of those that count. */
  constructor(processes: () => ReadonlyMap<number, string>) {
    this.#processes = processes;
  }

  /** Undefined for a process that does not count, and for one that has ended. */
  of(port: number): { readonly pid: number; readonly name: string } | undefined {
    const processes = this.#processes();
    const known = this.#known.get(port);
    // Its socket is gone with it, and its port may be somebody else's by now.
    if (known !== undefined && processes.get(known.pid) === known.name) return known;
    const inode = inodeOf(port);
    if (inode === undefined) return undefined;
    for (const [pid, name] of processes) {
      if (!holds(pid, inode)) continue;
      this.#known.set(port, { pid, name });
      return { pid, name };
    }
    return undefined;
  }
}

/** Of the socket whose local port this is; undefined when nobody has it open. */
function inodeOf(port: number): string | undefined {
  const local = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  for (const file of ['/proc/net/tcp', '/proc/net/tcp6']) {
    for (const line of readFileSync(file, 'latin1').split('\n').slice(1)) {
      const fields = line.trim().split(/\s+/);
      const inode = fields[9];
      if (fields[1]?.endsWith(local) && inode !== undefined && inode !== '0') return inode;
    }
  }
  return undefined;
}

function holds(pid: number, inode: string): boolean {
  try {
    const directory = `/proc/${pid}/fd`;
    return readdirSync(directory).some((fd) => linkOf(`${directory}/${fd}`) === `socket:[${inode}]`);
  } catch {
    return false;
  }
}

function linkOf(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return '';
  }
}
