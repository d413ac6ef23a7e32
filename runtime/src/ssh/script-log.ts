/** Told every line that a script prints. */
export type OnScriptLine = (node: string, script: string, line: string) => void;

/** How many lines of a script are kept for its error message. */
const keptLines = 40;

/** What a script has printed so far. */
export class ScriptLog {
  /** Bytes of the log that were read, as an offset for the next connection. */
  bytes = 0;
  lines: string[] = [];
  result: Record<string, unknown> = {};
  readonly #node: string;
  readonly #name: string;
  readonly #onLine: OnScriptLine;
  /** The last line, while it may be half of one: what prints the log can be killed in the middle of a line. */
  #half: { line: string; bytes: number } | undefined;

  constructor(node: string, name: string, onLine: OnScriptLine) {
    this.#node = node;
    this.#name = name;
    this.#onLine = onLine;
  }

  /** What sudo, ssh or the login shell say beside the log. */
  report(line: string): void {
    this.#onLine(this.#node, this.#name, line);
  }

  /** @param bytes of the log that the line took. */
  add(line: string, bytes: number): void {
    this.takeHalf();
    // With its line end a line takes one byte more than its text; where the text is no UTF-8 that is not known, and does no harm.
    if (bytes > Buffer.byteLength(line)) this.#take(line, bytes);
    else this.#half = { line, bytes };
  }

  /** The last line is whole: another one comes after it, or the script has ended. */
  takeHalf(): void {
    const half = this.#half;
    this.#half = undefined;
    if (half !== undefined) this.#take(half.line, half.bytes);
  }

  /** The last line will be read again. */
  forgetHalf(): void {
    this.#half = undefined;
  }

  #take(line: string, bytes: number): void {
    this.bytes += bytes;
    this.lines = [...this.lines.slice(1 - keptLines), line];
    if (line.startsWith('result: ')) this.result = parseResult(line.slice('result: '.length));
    else this.report(line);
  }

  reset(): void {
    this.bytes = 0;
    this.lines = [];
    this.result = {};
    this.#half = undefined;
  }
}

function parseResult(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? { ...value } : {};
  } catch {
    return {};
  }
}
