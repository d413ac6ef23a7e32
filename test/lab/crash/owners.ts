import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

/**
 * Finds the process that holds the client's end of a loopback connection. Caches by socket: a socket stays
 * with its process, while a port is soon reused by another socket.
 */
export class Owners {
  readonly #processes: () => ReadonlyMap<number, string>;
  readonly #known = new Map<string, { pid: number; name: string }>();

  /** @param processes process id → name, of the processes that count. */
  constructor(processes: () => ReadonlyMap<number, string>) {
    this.#processes = processes;
  }

  /** @returns undefined for a process that does not count, and for one that has ended. */
  of(port: number): { readonly pid: number; readonly name: string } | undefined {
    const processes = this.#processes();
    const inode = inodeOf(port);
    if (inode === undefined) return undefined;
    const known = this.#known.get(inode);
    if (known !== undefined && processes.get(known.pid) === known.name) return known;
    for (const [pid, name] of processes) {
      if (!holds(pid, inode)) continue;
      this.#known.set(inode, { pid, name });
      return { pid, name };
    }
    return undefined;
  }
}

/** The inode of the socket with this local port; undefined when there is none. */
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
