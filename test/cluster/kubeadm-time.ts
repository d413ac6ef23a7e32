import { readdir, readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';

/** Milliseconds between two looks at the processes. */
const interval = 200;

/** Watches for how long `kubeadm upgrade apply` runs on any node: the nodes' processes are this machine's. */
export class KubeadmTime {
  readonly #watching: Promise<number>;
  #stopped = false;

  constructor() {
    this.#watching = this.#watch();
  }

  /** Ends the watch. Resolves with milliseconds. */
  async stop(): Promise<number> {
    this.#stopped = true;
    return this.#watching;
  }

  async #watch(): Promise<number> {
    let total = 0;
    for (let last = Date.now(); !this.#stopped; await sleep(interval)) {
      const running = await isApplying();
      const now = Date.now();
      if (running) total += now - last;
      last = now;
    }
    return total;
  }
}

async function isApplying(): Promise<boolean> {
  const processes = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const commands = await Promise.all(
    // A process may have ended in the meantime.
    processes.map((id) => readFile(`/proc/${id}/cmdline`, 'utf8').catch(() => '')),
  );
  return commands.some((command) => command.startsWith('kubeadm\0upgrade\0apply\0'));
}
