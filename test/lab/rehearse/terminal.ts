import Table from 'cli-table3';
import { createLogUpdate } from 'log-update';
import pc from 'picocolors';
import { formatDuration } from '../../../runtime/src/duration.ts';
import { describe } from '../../../runtime/src/report/describe.ts';
import type { RunEvent } from '../../../runtime/src/report/events.ts';

type NodeEvent = Extract<RunEvent, { type: 'node' }>;

/** One node's upgrade, from the events. Times in milliseconds. */
interface NodeRow {
  from: string;
  to: string;
  phase: string;
  pods?: number;
  drain?: number;
  upgrade?: number;
  soak?: number;
  since: number;
}

/**
 * Prints the progress of a run: a line for each event, and on a terminal a redrawn block of the nodes below
 * the lines.
 */
export class Terminal {
  readonly #rows = new Map<string, NodeRow>();
  readonly #out: NodeJS.WriteStream;
  readonly #update: ReturnType<typeof createLogUpdate> | undefined;
  readonly #timer: NodeJS.Timeout | undefined;
  readonly #started = Date.now();

  /** @param out decides by `isTTY` whether there is a block. */
  constructor(out: NodeJS.WriteStream) {
    this.#out = out;
    if (!out.isTTY) return;
    this.#update = createLogUpdate(out);
    this.#timer = setInterval(() => this.#redraw(), 100);
    this.#timer.unref();
  }

  /** Prints a line with the time since the start. */
  print(line: string): void {
    const time = ((Date.now() - this.#started) / 1000).toFixed(1).padStart(5);
    this.#update?.clear();
    this.#out.write(`${pc.dim(`${time}s`)}  ${line}\n`);
    this.#redraw();
  }

  /** Updates the block, and prints the event unless it has no text. */
  event(event: RunEvent): void {
    if (event.type === 'run-started')
      for (const { name, release } of event.nodes) this.#row(name, release, event.target);
    if (event.type === 'node') this.#noteNode(event);
    if (event.type === 'heartbeat' || event.type === 'in-flight' || event.type === 'script') return;
    this.print(colored(event)(describe(event)));
  }

  /** Removes the block and prints the table of the changed nodes. */
  finish(): void {
    clearInterval(this.#timer);
    this.#update?.clear();
    const done = [...this.#rows].filter(([, row]) => row.upgrade !== undefined || row.drain !== undefined);
    if (done.length === 0) return;
    const table = new Table({
      head: ['node', 'from', 'to', 'drained pods', 'drain', 'upgrade', 'soak'],
      style: { head: [], border: [] },
      colAligns: ['left', 'left', 'left', 'right', 'right', 'right', 'right'],
    });
    const time = (ms: number | undefined) => (ms === undefined ? '-' : formatDuration(ms));
    for (const [name, row] of done) {
      table.push([
        name,
        row.from,
        row.to,
        row.pods ?? '-',
        time(row.drain),
        time(row.upgrade),
        time(row.soak),
      ]);
    }
    this.#out.write(`${table.toString()}\n`);
  }

  #row(name: string, from: string, to: string): NodeRow {
    const row = this.#rows.get(name) ?? {
      from,
      to,
      phase: from === to ? 'done' : 'waiting',
      since: Date.now(),
    };
    this.#rows.set(name, row);
    return row;
  }

  #noteNode({ node, phase, from, to, seconds, pods }: NodeEvent): void {
    const row = this.#row(node, from, to);
    row.phase = phase;
    row.since = Date.now();
    const ms = seconds === undefined ? undefined : seconds * 1000;
    if (phase === 'drained') Object.assign(row, { pods, drain: ms });
    if (phase === 'updated') row.upgrade = ms;
    if (phase === 'done' && ms !== undefined) row.soak = ms;
  }

  #redraw(): void {
    if (this.#update === undefined || this.#rows.size === 0) return;
    const lines = [...this.#rows].map(([name, row]) => {
      const busy = row.phase !== 'waiting' && row.phase !== 'done';
      const time = busy ? formatDuration(Date.now() - row.since) : '';
      const symbol = row.phase === 'done' ? pc.green('✔') : busy ? pc.yellow('▶') : pc.dim('·');
      return `${symbol} ${name.padEnd(12)} ${row.from} → ${row.to}  ${row.phase} ${pc.dim(time)}`;
    });
    this.#update(lines.join('\n'));
  }
}

function colored(event: RunEvent): (text: string) => string {
  if (event.type === 'run-ended')
    return event.outcome === 'done' ? pc.green : event.outcome === 'held' ? pc.yellow : pc.red;
  if (event.type === 'waiting' || event.type === 'notice') return pc.yellow;
  if (event.type === 'stage-started' || event.type === 'run-started') return pc.bold;
  return (text) => text;
}
