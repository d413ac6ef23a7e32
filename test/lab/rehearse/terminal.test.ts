import { stripVTControlCharacters } from 'node:util';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { parseRelease } from '../../../runtime/src/release.ts';
import type { NodePhase, RunEvent } from '../../../runtime/src/report/events.ts';
import { Terminal } from './terminal.ts';

const from = parseRelease('test', '1.34.2');
const to = parseRelease('test', '1.34.5');

const node = (name: string, phase: NodePhase, more: { seconds?: number; pods?: number } = {}): RunEvent => ({
  type: 'node',
  node: name,
  phase,
  from,
  to,
  ...more,
});

const started: RunEvent = {
  type: 'run-started',
  target: to,
  kind: 'patch',
  running: from,
  stages: ['master', 'workers'],
  resumed: false,
  nodes: [
    { name: 'k8s-master', release: from },
    { name: 'k8s-node1', release: from },
    { name: 'k8s-node2', release: from },
    { name: 'k8s-node3', release: to },
  ],
};

/** The events of a run that fails on its second worker. */
const recorded: readonly RunEvent[] = [
  { type: 'in-flight', startedAt: undefined, snapshotTaken: false },
  started,
  { type: 'stage-started', stage: 'master', summary: 'upgrade the control plane' },
  node('k8s-master', 'draining'),
  node('k8s-master', 'drained', { seconds: 1, pods: 4 }),
  node('k8s-master', 'updating'),
  { type: 'script', node: 'k8s-master', script: 'update_k8s', line: 'kubeadm upgrade apply v1.34.5' },
  { type: 'heartbeat' },
  node('k8s-master', 'updated', { seconds: 95 }),
  node('k8s-master', 'done'),
  node('k8s-node1', 'draining'),
  node('k8s-node1', 'drained', { seconds: 2.04, pods: 0 }),
  node('k8s-node1', 'updating'),
  node('k8s-node1', 'updated', { seconds: 3 }),
  node('k8s-node1', 'soaking'),
  node('k8s-node1', 'done', { seconds: 600 }),
  node('k8s-node2', 'draining'),
  node('k8s-node2', 'drained', { seconds: 1, pods: 11 }),
  node('k8s-node2', 'updating'),
  { type: 'run-ended', outcome: 'failed', target: to, message: 'kubeadm failed' },
];

const table = [
  ['node', 'from', 'to', 'drained pods', 'drain', 'upgrade', 'soak'],
  ['k8s-master', '1.34.2', '1.34.5', '4', '1.0s', '1m35s', '-'],
  ['k8s-node1', '1.34.2', '1.34.5', '0', '2.0s', '3.0s', '10m'],
  ['k8s-node2', '1.34.2', '1.34.5', '11', '1.0s', '-', '-'],
];

/**
 * What a terminal shows of the text written to it. It knows only the sequences that a redrawn block needs.
 */
class Screen {
  readonly columns = 100;
  readonly rows = 40;
  written = '';
  readonly isTTY: boolean;
  readonly #lines: string[] = [''];
  #row = 0;
  #column = 0;

  constructor(isTTY: boolean) {
    this.isTTY = isTTY;
  }

  write(text: string): boolean {
    this.written += text;
    for (const [piece, count = '', final] of text.matchAll(/\p{Cc}\[([?\d;]*)([A-Za-z])|\n|\P{Cc}+/gu)) {
      if (final !== undefined) this.#control(final, Number(count || 1));
      else if (piece === '\n') this.#moveTo(this.#row + 1, 0);
      else this.#put(piece);
    }
    return true;
  }

  /** Without blank lines at the end. */
  get lines(): string[] {
    return this.#lines.join('\n').trimEnd().split('\n');
  }

  /** The cells of the table. */
  get cells(): string[][] {
    const rows = this.lines.filter((line) => line.startsWith('│'));
    return rows.map((line) => line.split('│').slice(1, -1)).map((row) => row.map((cell) => cell.trim()));
  }

  #put(text: string): void {
    const line = (this.#lines[this.#row] ?? '').padEnd(this.#column);
    this.#lines[this.#row] = line.slice(0, this.#column) + text + line.slice(this.#column + text.length);
    this.#column += text.length;
  }

  #control(final: string, count: number): void {
    if (final === 'A') this.#moveTo(this.#row - count, this.#column);
    if (final === 'B') this.#moveTo(this.#row + count, this.#column);
    if (final === 'G') this.#moveTo(this.#row, count - 1);
    if (final === 'K') {
      const line = this.#lines[this.#row] ?? '';
      this.#lines[this.#row] = count === 2 ? '' : line.slice(0, this.#column);
    }
  }

  #moveTo(row: number, column: number): void {
    [this.#row, this.#column] = [row, column];
    while (this.#lines.length <= row) this.#lines.push('');
  }
}

function open(isTTY: boolean): { screen: Screen; terminal: Terminal } {
  const screen = new Screen(isTTY);
  return { screen, terminal: new Terminal(screen as unknown as NodeJS.WriteStream) };
}

function play(terminal: Terminal, events: readonly RunEvent[]): void {
  for (const event of events) {
    vi.advanceTimersByTime(1_000);
    terminal.event(event);
  }
}

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

describe('when the output is not a terminal', () => {
  it('prints a line with its time for each event that has a text, and then the table', () => {
    const { screen, terminal } = open(false);
    terminal.print('the lab is up');
    play(terminal, recorded);
    terminal.finish();
    const lines = stripVTControlCharacters(screen.written).split('\n');
    expect(lines.slice(0, 5)).toEqual([
      '  0.0s  the lab is up',
      '  2.0s  starting patch upgrade 1.34.2 → 1.34.5 (master, workers)',
      '  3.0s  stage master: upgrade the control plane',
      '  4.0s  k8s-master: draining (1.34.2 → 1.34.5)',
      '  5.0s  k8s-master: drained, 4 pods in 1.0s',
    ]);
    const silent = recorded.filter(({ type }) => ['in-flight', 'script', 'heartbeat'].includes(type));
    expect(lines.filter((line) => /^ *\d+\.\ds {2}/.test(line))).toHaveLength(
      1 + recorded.length - silent.length,
    );
    expect(screen.cells).toEqual(table);
  });

  it('redraws nothing: writes no sequences except colours, and nothing between events', () => {
    const { screen, terminal } = open(false);
    play(terminal, recorded.slice(0, 6));
    const { written } = screen;
    vi.advanceTimersByTime(10_000);
    expect(screen.written).toBe(written);
    expect(written.replaceAll(/\p{Cc}\[\d+m|\n/gu, '')).not.toMatch(/[\p{Cc}▶✔·]/u);
  });
});

describe('when the output is a terminal', () => {
  it('shows each node once below the lines that have scrolled by, with its phase', () => {
    const { screen, terminal } = open(true);
    terminal.print('the lab is up');
    play(terminal, recorded.slice(0, 11));
    expect(screen.lines.at(0)).toBe('  0.0s  the lab is up');
    expect(screen.lines.slice(-5).map((line) => line.trimEnd())).toEqual([
      ' 11.0s  k8s-node1: draining (1.34.2 → 1.34.5)',
      '✔ k8s-master   1.34.2 → 1.34.5  done',
      '▶ k8s-node1    1.34.2 → 1.34.5  draining 0.0s',
      '· k8s-node2    1.34.2 → 1.34.5  waiting',
      '✔ k8s-node3    1.34.5 → 1.34.5  done',
    ]);
    expect(screen.lines.filter((line) => /^[▶✔·]/.test(line))).toHaveLength(4);
  });

  it('updates the time of a phase between events', () => {
    const { screen, terminal } = open(true);
    play(terminal, recorded.slice(0, 11));
    const before = screen.lines;
    vi.advanceTimersByTime(2_500);
    const changed = screen.lines.filter((line, i) => line !== before[i]);
    expect(changed.map((line) => line.trimEnd())).toEqual(['▶ k8s-node1    1.34.2 → 1.34.5  draining 2.5s']);
    expect(screen.lines).toHaveLength(before.length);
  });

  it('replaces the block by the table at the end, and redraws nothing afterwards', () => {
    const { screen, terminal } = open(true);
    play(terminal, recorded);
    terminal.finish();
    expect(screen.cells).toEqual(table);
    expect(screen.lines.filter((line) => /^[▶✔·]/.test(line))).toEqual([]);
    expect(screen.lines.find((line) => line.includes('failed: kubeadm failed'))).toBe(
      ' 20.0s  failed: kubeadm failed',
    );
    const { written } = screen;
    vi.advanceTimersByTime(10_000);
    expect(screen.written).toBe(written);
  });
});

it.each([true, false])('prints no table when no node was changed (on a terminal: %s)', (isTTY) => {
  const { screen, terminal } = open(isTTY);
  play(terminal, [started, { type: 'run-ended', outcome: 'blocked', target: to, message: 'a gate' }]);
  terminal.finish();
  expect(screen.lines.at(-1)).toBe('  2.0s  blocked: a gate');
});
