import { once } from 'node:events';
import { Client, type ClientChannel, type ConnectConfig } from 'ssh2';
import { UpgradeError } from '../errors.ts';
import { fingerprint, type HostKeys, keyLine, withoutComment } from './host-keys.ts';

/** A node as SSH sees it; a node of the cluster is one. */
export interface SshTarget {
  readonly name: string;
  /** InternalIP. */
  readonly address: string;
}

export interface SshLogin {
  readonly user: string;
  readonly port: number;
}

export interface SshOptions extends SshLogin {
  /** OpenSSH or PEM private key. Never logged. */
  readonly privateKey: Buffer;
  readonly hostKeys: HostKeys;
  /** Milliseconds. */
  readonly connectTimeout: number;
}

/**
 * Told each line of output.
 *
 * @param bytes that it took of the standard output with its line end; 0 for a line of error output.
 */
export type OnLine = (line: string, bytes: number) => void;

export interface CommandResult {
  /** Exit code; undefined when a signal ended it. */
  readonly code: number | undefined;
}

/** The connection could not be made or was lost; the same work may be tried again. */
export class ConnectionError extends UpgradeError {
  readonly why: string;

  constructor({ name, address, user, port }: SshTarget & SshLogin, why: string, cause?: unknown) {
    super('failed', `SSH to ${name} (${address}): ${why}`, {
      cause,
      hint: `Try it by hand: ssh -p ${port} ${user}@${address}`,
    });
    this.name = 'ConnectionError';
    this.why = why;
  }
}

const loginOf = (target: SshTarget, { user, port }: SshLogin) => ({ ...target, user, port });

/** Nothing but these ends up on a node's command line. */
const safeWord = /^[A-Za-z0-9_.,:/=+@-]+$/;

function commandLine(words: readonly string[]): string {
  const unsafe = words.find((word) => !safeWord.test(word));
  if (unsafe !== undefined)
    throw new UpgradeError('failed', `refusing to send ${JSON.stringify(unsafe)} to a node's shell`);
  return words.join(' ');
}

/** One connection to one node. */
export class SshSession {
  readonly #client: Client;
  readonly #target: SshTarget & SshLogin;
  readonly #sudo: boolean;
  #worked = false;

  private constructor(client: Client, target: SshTarget & SshLogin, sudo: boolean) {
    this.#client = client;
    this.#target = target;
    this.#sudo = sudo;
  }

  /** The node has taken a command over this connection. */
  get worked(): boolean {
    return this.#worked;
  }

  /** @throws ConnectionError when the node does not answer; UpgradeError when its host key is not the known one. */
  static async open(target: SshTarget, options: SshOptions, signal: AbortSignal): Promise<SshSession> {
    const client = new Client();
    const refusal: { error?: Error } = {};
    const abort = () => client.destroy();
    signal.addEventListener('abort', abort, { once: true });
    try {
      client.connect(connectConfig(target, options, refusal));
      // Small packets that wait for the other side's answer: without this each pays a delayed ACK.
      client.setNoDelay(true);
      await once(client, 'ready', { signal });
      // A lost connection is noticed where it matters: the channel closes without an exit status.
      client.on('error', () => {});
      return new SshSession(client, loginOf(target, options), options.user !== 'root');
    } catch (error) {
      client.on('error', () => {});
      client.destroy();
      signal.throwIfAborted();
      if (refusal.error) throw refusal.error;
      throw connectFailure(target, options, error as Error);
    } finally {
      signal.removeEventListener('abort', abort);
    }
  }

  /**
   * Runs a command as root and waits for its end.
   *
   * @param input sent to its standard input.
   * @param onLine told each line of output and error output.
   * @throws ConnectionError when the connection is lost before its exit status arrives.
   */
  async run(
    words: readonly string[],
    input: string,
    onLine: OnLine,
    signal: AbortSignal,
  ): Promise<CommandResult> {
    const line = commandLine([...(this.#sudo ? ['sudo', '-n'] : []), ...words]);
    const abort = () => this.#client.destroy();
    signal.addEventListener('abort', abort, { once: true });
    try {
      return await this.#exec(line, (channel) => this.#follow(channel, input, onLine));
    } finally {
      signal.removeEventListener('abort', abort);
      signal.throwIfAborted();
    }
  }

  close(): void {
    this.#client.end();
  }

  /**
   * @param follow told of the channel at once: a short command's output, exit status and end may have arrived with it,
   *   and whoever listens a moment later has missed them.
   */
  #exec<T>(line: string, follow: (channel: ClientChannel) => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const lost = () => reject(new ConnectionError(this.#target, 'connection lost'));
      this.#client.once('close', lost);
      try {
        this.#client.exec(line, (error, channel) => {
          this.#client.removeListener('close', lost);
          if (error) return reject(new ConnectionError(this.#target, error.message, error));
          this.#worked = true;
          follow(channel).then(resolve, reject);
        });
      } catch (error) {
        reject(new ConnectionError(this.#target, (error as Error).message, error));
      }
    });
  }

  #follow(channel: ClientChannel, input: string, onLine: OnLine): Promise<CommandResult> {
    const output = new LineSplitter(onLine);
    const errors = new LineSplitter((line) => onLine(line, 0));
    channel.on('data', (chunk: Buffer) => output.add(chunk));
    channel.stderr.on('data', (chunk: Buffer) => errors.add(chunk));
    return new Promise((resolve, reject) => {
      let exit: { code: number | undefined } | undefined;
      channel.once('exit', (code: number | null) => {
        exit = { code: code ?? undefined };
      });
      channel.once('close', () => {
        if (exit === undefined) return reject(new ConnectionError(this.#target, 'connection lost'));
        output.end();
        errors.end();
        resolve(exit);
      });
      channel.on('error', (error: Error) => reject(new ConnectionError(this.#target, error.message, error)));
      channel.end(input);
    });
  }
}

/** Whole lines only: what a lost connection cut off is read again by the next one. */
class LineSplitter {
  #rest = Buffer.alloc(0);
  readonly #onLine: OnLine;

  constructor(onLine: OnLine) {
    this.#onLine = onLine;
  }

  add(chunk: Buffer): void {
    this.#rest = Buffer.concat([this.#rest, chunk]);
    for (let end = this.#rest.indexOf(10); end >= 0; end = this.#rest.indexOf(10)) {
      this.#onLine(this.#rest.toString('utf8', 0, end), end + 1);
      this.#rest = this.#rest.subarray(end + 1);
    }
  }

  end(): void {
    if (this.#rest.length > 0) this.#onLine(this.#rest.toString('utf8'), this.#rest.length);
  }
}

function connectConfig(target: SshTarget, options: SshOptions, refusal: { error?: Error }): ConnectConfig {
  const known = options.hostKeys.known(target.name);
  return {
    host: target.address,
    port: options.port,
    username: options.user,
    privateKey: options.privateKey,
    readyTimeout: options.connectTimeout,
    keepaliveInterval: 5_000,
    keepaliveCountMax: 3,
    ...(known && { algorithms: { serverHostKey: hostKeyAlgorithms(known) } }),
    hostVerifier: (wire: Buffer, verify: (accepted: boolean) => void) => {
      checkHostKey(target, options.hostKeys, known, keyLine(wire)).then(
        () => verify(true),
        (error: Error) => {
          refusal.error = error;
          verify(false);
        },
      );
    },
  };
}

function hostKeyAlgorithms(known: string): ('rsa-sha2-512' | 'rsa-sha2-256' | 'ssh-ed25519')[] {
  const type = known.split(' ')[0] as 'ssh-ed25519';
  return type === ('ssh-rsa' as string) ? ['rsa-sha2-512', 'rsa-sha2-256'] : [type];
}

async function checkHostKey(
  target: SshTarget,
  hostKeys: HostKeys,
  known: string | undefined,
  shown: string,
): Promise<void> {
  if (known === undefined) return hostKeys.accept(target.name, shown);
  if (withoutComment(known) === shown) return;
  throw new UpgradeError(
    'blocked',
    `node ${target.name} (${target.address}) shows the host key ${fingerprint(shown)}, known is ${fingerprint(known)}`,
    {
      hint: `If the node was reinstalled, replace its key in ssh.hostKeys.known or in the ConfigMap; if not, somebody answers in its place.`,
    },
  );
}

function connectFailure(target: SshTarget, options: SshOptions, error: Error & { level?: string }): Error {
  if (error.level === 'client-authentication') {
    return new UpgradeError(
      'blocked',
      `SSH to ${target.name} (${target.address}): the key is not accepted for ${options.user}`,
      {
        hint: `Append the public key to ~${options.user}/.ssh/authorized_keys on ${target.name}.`,
      },
    );
  }
  return new ConnectionError(loginOf(target, options), error.message || 'no answer', error);
}
