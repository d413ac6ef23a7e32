import { type ChildProcess, spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { request } from 'node:https';
import { createServer } from 'node:net';
import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/**
 * A server that runs until it is stopped. Writes its output to a log in `dir`, and its last lines into
 * errors.
 */
export class Program {
  /** The file name of the program; its log is `NAME.log`. */
  readonly name: string;
  readonly #child: ChildProcess;
  #tail = '';
  #stopping = false;

  /**
   * Starts the program.
   *
   * @param dir its working directory.
   * @param env additional environment, such as secrets, which must not be in arguments.
   */
  constructor(
    path: string,
    args: readonly string[],
    dir: string,
    env: Readonly<Record<string, string>> = {},
  ) {
    this.name = basename(path);
    this.#child = spawn(path, args, {
      cwd: dir,
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const log = createWriteStream(join(dir, `${this.name}.log`), { flags: 'a' });
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream?.on('data', (chunk: Buffer) => {
        log.write(chunk);
        this.#tail = (this.#tail + chunk).slice(-2000);
      });
    }
    this.#child.once('error', (error) => {
      this.#tail += error.message;
    });
    this.#child.once('close', () => log.end());
    process.once('exit', this.#kill);
  }

  /** @throws Error with its last output when the program ended without {@link stop}. */
  check(): void {
    const { exitCode, signalCode, pid } = this.#child;
    if (this.#stopping || (exitCode === null && signalCode === null && pid !== undefined)) return;
    throw new Error(`${this.name} ended (${exitCode ?? signalCode ?? 'not started'}):\n${this.#tail}`);
  }

  /** Sends SIGTERM, and after 5 s SIGKILL. Resolves when the program has ended; may be called twice. */
  async stop(): Promise<void> {
    this.#stopping = true;
    process.removeListener('exit', this.#kill);
    const { exitCode, signalCode, pid } = this.#child;
    if (exitCode !== null || signalCode !== null || pid === undefined) return;
    const ended = once(this.#child, 'exit');
    this.#child.kill('SIGTERM');
    const timer = setTimeout(this.#kill, 5000);
    await ended;
    clearTimeout(timer);
  }

  readonly #kill = (): void => {
    this.#child.kill('SIGKILL');
  };
}

/** Unused ports of 127.0.0.1, below 32768, so that the kernel does not assign them to connections. */
export async function freePorts(count: number): Promise<number[]> {
  const ports = new Set<number>();
  while (ports.size < count) {
    const port = randomInt(16_384, 32_768);
    if (await isFree(port)) ports.add(port);
  }
  return [...ports];
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer().once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}

/**
 * Repeats `test` until it resolves to true. An error counts as false.
 *
 * @throws Error after 60 s, or when one of the programs has ended.
 */
export async function until(
  what: string,
  programs: readonly Program[],
  test: () => Promise<boolean>,
): Promise<void> {
  let last: unknown;
  for (const deadline = Date.now() + 60_000; Date.now() < deadline; await sleep(100)) {
    for (const program of programs) program.check();
    try {
      if (await test()) return;
    } catch (error) {
      last = error;
    }
  }
  throw new Error(`${what} was not ready after 60 s`, { cause: last });
}

/** The status that a GET is answered with. */
export function statusOf(url: string, ca: string, token: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const sent = request(url, { ca, headers: { Authorization: `Bearer ${token}` } }, (response) => {
      response.resume().on('end', () => resolve(response.statusCode ?? 0));
    });
    sent.on('error', reject).end();
  });
}
