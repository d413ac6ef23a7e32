import { once } from 'node:events';
import { Client, type ClientChannel, type ConnectConfig } from 'ssh2';
import { UpgradeError } from '../errors.ts';
import { fingerprint, type HostKeys, keyLine, withoutComment } from './host-keys.ts';

/** Where SSH connects to; a ClusterNode is one. */
export interface SshTarget {
  /** Name of the Node, for messages and host keys. */
  readonly name: string;
  /** InternalIP. */
  readonly address: string;
}

/** How to log in; the same on every node. */
export interface SshLogin {
  /** Login name. Commands run with `sudo -n` unless it is root. */
  readonly user: string;
  /** TCP port. */
  readonly port: number;
}

/** Options of an {@link SshSession}. */
export interface SshOptions extends SshLogin {
  /** OpenSSH or PEM private key. Never logged. */
  readonly privateKey: Buffer;
  /** The host keys that nodes must show. */
  readonly hostKeys: HostKeys;
  /** Time limit of connecting, milliseconds. */
  readonly connectTimeout: number;
}

/**
 * Called with each line of output.
 *
 * @param bytes of the line in the standard output, including its line end; 0 for a line of error output.
 */
export type OnLine = (line: string, bytes: number) => void;

/** How a command ended. */
export interface CommandResult {
  /** Exit code; undefined when a signal ended it. */
  readonly code: number | undefined;
}

/** The connection failed or was lost; the work may be retried. */
export class ConnectionError extends UpgradeError {
  /** The reason without the node, such as `connection lost`. */
  readonly why: string;

  constructor({ name, address, user, port }: SshTarget & SshLogin, why: string, cause?: unknown) {
    super('failed', `SSH to ${name} (${address}): ${why}`, {
      cause,
      hint: `Try it yourself: ssh -p ${port} ${user}@${address}`,
    });
    this.name = 'ConnectionError';
    this.why = why;
  }
}

const loginOf = (target: SshTarget, { user, port }: SshLogin) => ({ ...target, user, port });

/** The only words that are sent to a node's shell; none of them needs quoting. */
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
  #hasRunCommand = false;

  private constructor(client: Client, target: SshTarget & SshLogin, sudo: boolean) {
    this.#client = client;
    this.#target = target;
    this.#sudo = sudo;
  }

  /** The node has accepted a command over this connection. */
  get hasRunCommand(): boolean {
    return this.#hasRunCommand;
  }

  /**
   * Connects to a node and logs in.
   *
   * @throws ConnectionError when the node does not answer; UpgradeError (blocked) when it shows another host
   *   key or does not accept ours.
   */
  static async open(target: SshTarget, options: SshOptions, signal: AbortSignal): Promise<SshSession> {
    const client = new Client();
    const refusal: { error?: Error } = {};
    const abort = () => client.destroy();
    signal.addEventListener('abort', abort, { once: true });
    try {
      client.connect(connectConfig(target, options, refusal));
      // Otherwise each small packet waits for a delayed ACK.
      client.setNoDelay(true);
      await once(client, 'ready', { signal });
      // A lost connection is detected elsewhere: the channel closes without an exit status.
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
   * @param onLine called with each line of standard output and error output.
   * @throws ConnectionError when the connection is lost before the exit status arrives; the signal's reason
   *   when aborted.
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

  /** Closes the connection. May be called twice. */
  close(): void {
    this.#client.end();
  }

  /**
   * @param follow called synchronously with the channel: output, exit status and end of a short command may
   *   arrive together with it, and later listeners would miss them.
   */
  #exec<T>(line: string, follow: (channel: ClientChannel) => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const lost = () => reject(new ConnectionError(this.#target, 'connection lost'));
      this.#client.once('close', lost);
      try {
        this.#client.exec(line, (error, channel) => {
          this.#client.removeListener('close', lost);
          if (error) return reject(new ConnectionError(this.#target, error.message, error));
          this.#hasRunCommand = true;
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

/** Splits output into lines. Drops a line that a lost connection cuts off: the next one reads it again. */
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
    `node ${target.name} (${target.address}) shows the host key ${fingerprint(shown)}, but the known one is ${fingerprint(known)}`,
    {
      hint: `If the node was reinstalled, replace its key in ssh.hostKeys.known or in the ConfigMap; if not, another machine answers in its place.`,
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
