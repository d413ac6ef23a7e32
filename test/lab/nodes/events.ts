import { execFileSync } from 'node:child_process';
import { EventEmitter } from 'node:events';
import { constants, openSync } from 'node:fs';
import { Socket } from 'node:net';
import { createInterface } from 'node:readline';

/** One run of a stub program. Times are Unix milliseconds; `end` is missing while it runs, `exit` also when the power went. */
export interface Invocation {
  readonly program: string;
  readonly args: readonly string[];
  readonly start: number;
  end?: number;
  exit?: number;
}

/** What a stub tells the lab apart from its own start and end: `kubelet`, `containerd`, `apiserver`, `reboot`. */
export type NodeEventListener = (name: string, values: readonly string[]) => void;

const separator = '\x1f';

/**
 * The pipe into which a node's stubs write: their history, and what they change in the cluster. A named pipe because
 * bash can write to it without starting a program.
 */
export class NodeEvents extends EventEmitter<{ started: [Invocation] }> {
  readonly history: Invocation[] = [];
  readonly #running = new Map<string, Invocation>();
  readonly #socket: Socket;
  readonly #listener: NodeEventListener;

  constructor(path: string, listener: NodeEventListener) {
    super();
    this.#listener = listener;
    execFileSync('mkfifo', ['-m', '600', path]);
    // Open for writing as well: the pipe never ends when a stub closes it.
    this.#socket = new Socket({
      fd: openSync(path, constants.O_RDWR | constants.O_NONBLOCK),
      writable: false,
    });
    createInterface({ input: this.#socket }).on('line', (line) => this.#accept(line.split(separator)));
  }

  close(): void {
    this.#socket.destroy();
  }

  /** After a power cut: what ran will never say that it ended. */
  forgetRunning(): void {
    for (const invocation of this.#running.values()) invocation.end = Date.now();
    this.#running.clear();
  }

  #accept(fields: string[]): void {
    const [name = '', ...values] = fields;
    if (name === 'start') this.#begin(values);
    else if (name === 'end') this.#finish(values);
    else this.#listener(name, values);
  }

  #begin([pid = '', time, program = '', ...args]: string[]): void {
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
