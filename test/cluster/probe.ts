import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import type { Node } from './node.ts';

/** What a {@link Probe} has seen. */
export interface Seen {
  readonly requests: number;
  /** `at`: when the request was sent, Unix milliseconds; `after`: how long until it failed, milliseconds. */
  readonly failures: readonly { readonly at: number; readonly after: number }[];
}

/** Requests a URL every 100 ms from a node's network, as a client of a Service does. */
export class Probe {
  readonly #child: ChildProcess;
  readonly #output: Promise<string>;

  constructor(from: Node, url: string) {
    const program = join(import.meta.dirname, 'probe.mjs');
    this.#child = spawn('ip', ['netns', 'exec', from.namespace, process.execPath, program, url], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    this.#output = text(this.#child.stdout as NodeJS.ReadableStream);
  }

  /** Ends the requests, and resolves with what was seen. */
  async stop(): Promise<Seen> {
    this.#child.kill('SIGTERM');
    const [output] = await Promise.all([this.#output, once(this.#child, 'close')]);
    return JSON.parse(output);
  }
}

/** The longest time without an answer in ms: from the first failure in a row to the end of the last. */
export function longestGap({ failures }: Seen): number {
  let longest = 0;
  let start = 0;
  let end = Number.NEGATIVE_INFINITY;
  for (const { at, after } of failures) {
    // Requests are 100 ms apart; the next failure in a row is sent before the last has ended, or right after.
    if (at - end > 150) start = at;
    end = Math.max(end, at + after);
    longest = Math.max(longest, end - start);
  }
  return longest;
}
