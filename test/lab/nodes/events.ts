import { execFileSync } from 'node:child_process';
import { EventEmitter } from 'node:events';
import { constants, openSync } from 'node:fs';
import { Socket } from 'node:net';
import { createInterface } from 'node:readline';

/** One run of a stub program. Times are Unix milliseconds. */
export interface Invocation {
  /** Name of the program. */
  readonly program: string;
  /** Its arguments. */
  readonly args: readonly string[];
  /** When it started. */
  readonly start: number;
  /** When it ended; undefined while it runs. */
  end?: number;
  /** Its exit code; undefined while it runs, and after a power cut. */
  exit?: number;
}

/** Receives what a stub changes: `kubelet`, `containerd`, `apiserver` with versions, `addon`, or `reboot`. */
export type NodeEventListener = (name: string, values: readonly string[]) => void;

const separator = '\x1f';

/**
 * The pipe into which a node's stubs write their starts and ends, and what they change in the cluster. A
 * named pipe, as bash can write to it without starting a program. Emits `started` for every stub that starts.
 */
export class NodeEvents extends EventEmitter<{ started: [Invocation] }> {
  /** All runs of stubs, in order of their starts. Dry runs of kubeadm are not among them. */
  readonly history: Invocation[] = [];
  readonly #running = new Map<string, Invocation>();
  readonly #socket: Socket;
  readonly #listener: NodeEventListener;

  constructor(path: string, listener: NodeEventListener) {
    super();
    this.#listener = listener;
    execFileSync('mkfifo', ['-m', '600', path]);
    // Opened for writing as well, so that the pipe does not end when a stub closes it.
    this.#socket = new Socket({
      fd: openSync(path, constants.O_RDWR | constants.O_NONBLOCK),
      writable: false,
    });
    createInterface({ input: this.#socket }).on('line', (line) => this.#accept(line.split(separator)));
  }

  /** Closes the pipe; further events are lost. */
  close(): void {
    this.#socket.destroy();
  }

  /** For a power cut: marks running stubs as ended, as they can no longer report it. */
  forgetRunning(): void {
    for (const invocation of this.#running.values()) invocation.end = Date.now();
    this.#running.clear();
  }

  #accept(fields: string[]): void {
    const [name = '', ...values] = fields;
    if (name === 'start') this.#start(values);
    else if (name === 'end') this.#finish(values);
    else this.#listener(name, values);
  }

  #start([pid = '', time, program = '', ...args]: string[]): void {
    if (program === 'kubeadm' && (args.includes('--dry-run') || args.includes('--help'))) return;
    const invocation: Invocation = { program, args, start: Number(time) * 1000 };
    this.history.push(invocation);
    this.#running.set(pid, invocation);
    this.emit('started', invocation);
  }

  #finish([pid = '', time, exit]: string[]): void {
    const invocation = this.#running.get(pid);
    if (invocation === undefined) return;
    invocation.end = Number(time) * 1000;
    invocation.exit = Number(exit);
    this.#running.delete(pid);
  }
}
