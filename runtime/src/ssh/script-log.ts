/** Called with every line that a script prints, except its result. */
export type OnScriptLine = (node: string, script: string, line: string) => void;

/** How many of the last lines of a script are kept for its error message. */
const keptLines = 40;

/** The output of a script so far. */
export class ScriptLog {
  /** How many bytes of the log were read: the offset from which the next connection continues. */
  bytes = 0;
  /** The last lines, at most 40. */
  lines: string[] = [];
  /** The object of its last `result: {…}` line; empty until then. */
  result: Record<string, unknown> = {};
  readonly #node: string;
  readonly #name: string;
  readonly #onLine: OnScriptLine;
  /**
   * A last line without a line end. It may be incomplete, as `tail` can be killed in the middle of a line.
   */
  #partial: { line: string; bytes: number } | undefined;

  constructor(node: string, name: string, onLine: OnScriptLine) {
    this.#node = node;
    this.#name = name;
    this.#onLine = onLine;
  }

  /** Reports a line that is not in the log, such as one of sudo, ssh or the login shell. */
  report(line: string): void {
    this.#onLine(this.#node, this.#name, line);
  }

  /**
   * Adds the next line of the log.
   *
   * @param bytes of the line in the log, including its line end.
   */
  add(line: string, bytes: number): void {
    this.addPartialLine();
    // A line end is one byte more than the text. With invalid UTF-8 this is inexact, which does no harm.
    if (bytes > Buffer.byteLength(line)) this.#addWhole(line, bytes);
    else this.#partial = { line, bytes };
  }

  /**
   * Adds a last line without a line end; it is complete when another line follows or the script has ended.
   */
  addPartialLine(): void {
    const partial = this.#partial;
    this.#partial = undefined;
    if (partial !== undefined) this.#addWhole(partial.line, partial.bytes);
  }

  /** Drops a last line without a line end, because it will be read again. */
  dropPartialLine(): void {
    this.#partial = undefined;
  }

  #addWhole(line: string, bytes: number): void {
    this.bytes += bytes;
    this.lines = [...this.lines.slice(1 - keptLines), line];
    if (line.startsWith('result: ')) this.result = parseResult(line.slice('result: '.length));
    else this.report(line);
  }

  /** Forgets everything, for another execution of the script. */
  reset(): void {
    this.bytes = 0;
    this.lines = [];
    this.result = {};
    this.#partial = undefined;
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
