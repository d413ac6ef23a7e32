import { type ChildProcess, spawn } from 'node:child_process';
import { EventEmitter, once } from 'node:events';
import { createServer, type Server as NetServer, type Socket } from 'node:net';
import { type Readable, Transform } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import ssh2, { type AuthContext, type Connection, type ServerChannel, type Session } from 'ssh2';
import type { Call, CallGate, Interference } from '../call-gate.ts';

/** One `exec` channel. Times are Unix milliseconds. */
export interface Execution {
  /** The command line; empty for a login shell. */
  readonly command: string;
  /** When it started. */
  readonly start: number;
  /** When the channel was closed; undefined while it is open. */
  end?: number;
  /** Exit code of the command; undefined when a signal or a cut connection ended it. */
  exit?: number;
}

/** How a node's sshd is reached, and what its commands run in. */
export interface SshServerOptions {
  /** Name of the node. */
  readonly name: string;
  /** Address on which it listens. */
  readonly address: string;
  /** Port on which it listens; 0 for any free port. */
  readonly port: number;
  /** The only user that may log in. */
  readonly user: string;
  /** The one key that may log in, as in authorized_keys. */
  readonly authorizedKey: string;
  /** OpenSSH private key. */
  readonly hostKey: string;
  /** Environment of every command; nothing else is inherited. */
  readonly environment: Readonly<Record<string, string>>;
  /** Working directory of every command. */
  readonly directory: string;
}

/**
 * An sshd that runs commands in real bash. Emits `closed` with an {@link Execution} when its channel closes.
 */
export class SshServer extends EventEmitter<{ closed: [Execution] }> {
  /** All commands so far, in order of their starts. */
  readonly executions: Execution[] = [];
  /** Delay before a connection is accepted and before a command starts. */
  latencyMs = 0;
  /** A connection is cut this long after it was made; undefined: never. */
  cutAfterMs: number | undefined;
  /** Whether it accepts connections and refuses commands, as an sshd that cannot fork. */
  refusesCommands = false;
  /** Decides what happens to each connection and command; undefined: nothing. */
  gate: CallGate | undefined;

  readonly #options: SshServerOptions;
  readonly #sockets = new Set<Socket>();
  #hostKey: string;
  #ssh: ssh2.Server;
  #listener: NetServer | undefined;
  #port: number;

  constructor(options: SshServerOptions) {
    super();
    this.#options = options;
    this.#hostKey = options.hostKey;
    this.#port = options.port;
    this.#ssh = this.#createServer();
  }

  /** The port on which it listens. */
  get port(): number {
    return this.#port;
  }

  /** Its public host key, as in known_hosts: `ssh-ed25519 AAAA…`. */
  get hostKey(): string {
    return publicKeyOf(this.#hostKey);
  }

  /** Accepts connections; does nothing when it already does. After {@link refuse} it uses the same port. */
  async listen(): Promise<void> {
    if (this.#listener !== undefined) return;
    const listener = createServer((socket) => this.#accept(socket));
    this.#listener = listener;
    listener.listen(this.#port, this.#options.address);
    await once(listener, 'listening');
    const address = listener.address();
    if (address !== null && typeof address === 'object') this.#port = address.port;
  }

  /** Refuses new connections until {@link listen}; open ones stay. */
  refuse(): void {
    this.#listener?.close();
    this.#listener = undefined;
  }

  /** Breaks every connection without notice; commands keep running on the node. */
  cutConnections(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  /** Number of open connections. */
  get connections(): number {
    return this.#sockets.size;
  }

  /** Uses another host key for new connections, as a reimaged node does (F27). */
  changeHostKey(hostKey: string): void {
    this.#hostKey = hostKey;
    this.#ssh = this.#createServer();
  }

  #createServer(): ssh2.Server {
    return new ssh2.Server({ hostKeys: [this.#hostKey] }, (client, { port }) => this.#serve(client, port));
  }

  #accept(socket: Socket): void {
    this.#sockets.add(socket);
    socket.setNoDelay(true);
    socket.on('close', () => this.#sockets.delete(socket));
    socket.on('error', () => socket.destroy());
    const arrived = this.gate?.arrived(this.#connectionOf(socket.remotePort));
    if (arrived !== undefined) return void breakOff(socket, arrived);
    this.#later(() => socket.destroyed || this.#ssh.injectSocket(socket));
    if (this.cutAfterMs !== undefined) setTimeout(() => socket.destroy(), this.cutAfterMs).unref();
  }

  #later(action: () => unknown): void {
    if (this.latencyMs > 0) setTimeout(action, this.latencyMs);
    else action();
  }

  #serve(client: Connection, port: number): void {
    client.on('authentication', (context) => this.#authenticate(context));
    client.on('error', () => client.end());
    client.on('ready', () => this.#interfere(port, this.gate?.answering(this.#connectionOf(port))));
    client.on('session', (accept) => this.#session(accept(), port));
  }

  #connectionOf(port = 0): Call {
    return { kind: 'ssh', what: `connect ${this.#options.name}`, port };
  }

  /** Breaks the caller's connection when the gate wants that; true when it does. */
  #interfere(port: number, how: Interference | undefined): boolean {
    if (how === undefined) return false;
    for (const socket of this.#sockets) if (socket.remotePort === port) void breakOff(socket, how);
    return true;
  }

  #authenticate(context: AuthContext): void {
    if (this.#mayLogIn(context)) context.accept();
    else context.reject(['publickey']);
  }

  #mayLogIn(context: AuthContext): boolean {
    const allowed = ssh2.utils.parseKey(this.#options.authorizedKey);
    if (allowed instanceof Error) throw allowed;
    if (context.method !== 'publickey' || context.username !== this.#options.user) return false;
    const { key, signature, blob, hashAlgo } = context;
    if (key.algo !== allowed.type || !key.data.equals(allowed.getPublicSSH())) return false;
    // Without a signature the client only asks whether the key is accepted.
    return (
      signature === undefined || blob === undefined || allowed.verify(blob, signature, hashAlgo) === true
    );
  }

  #session(session: Session, port: number): void {
    const sent: Record<string, string> = {};
    session.on('env', (accept, _reject, { key, val }) => {
      if (/^(LANG|LC_[A-Z]+)$/.test(key)) sent[key] = val;
      accept?.();
    });
    session.on('pty', (accept) => accept?.());
    session.on('exec', (accept, reject, { command }) => {
      if (this.refusesCommands) return void reject?.();
      const channel = accept();
      const what = `${commandOf(command)} on ${this.#options.name}`;
      const call: Call = { kind: 'channel', what, port };
      const how = this.gate?.arrived(call);
      const cutAfter = typeof how === 'object' && 'afterBytes' in how ? how.afterBytes : undefined;
      if (cutAfter === undefined && this.#interfere(port, how)) return;
      const mayAnswer = () => !this.#interfere(port, this.gate?.answering(call));
      const input =
        cutAfter === undefined ? channel : channel.pipe(upTo(cutAfter, () => this.#interfere(port, 'cut')));
      this.#later(() => this.#execute(session, channel, command, sent, mayAnswer, input));
    });
    session.on('shell', (accept) => {
      const channel = accept();
      this.#later(() => this.#execute(session, channel, undefined, sent));
    });
  }

  /** Runs a command; without one, a login shell for a person. */
  #execute(
    session: Session,
    channel: ServerChannel,
    command: string | undefined,
    sent: Record<string, string>,
    mayAnswer: () => boolean = () => true,
    input: Readable = channel,
  ): void {
    const execution: Execution = { command: command ?? '', start: Date.now() };
    this.executions.push(execution);
    const child = spawn('bash', command === undefined ? ['-i'] : ['-c', command], {
      cwd: this.#options.directory,
      env: { ...this.#options.environment, ...sent },
      detached: true,
      stdio: 'pipe',
    });
    session.on('signal', (accept, _reject, { name }) => {
      accept?.();
      signalGroup(child, `SIG${name}` as NodeJS.Signals);
    });
    connect(child, channel, input);
    // As with sshd, the channel stays open until every process has closed its streams.
    child.on('close', (code, signal) => {
      if (code !== null) execution.exit = code;
      if (!channel.destroyed && mayAnswer()) reportExit(channel, code, signal);
    });
    channel.on('close', () => {
      execution.end = Date.now();
      this.emit('closed', execution);
    });
  }
}

async function breakOff(socket: Socket, how: Interference): Promise<void> {
  if (typeof how === 'object' && 'silenceMs' in how) await sleep(how.silenceMs);
  socket.destroy();
}

/** `follow update_k8s` for a detached script; any other command without `sudo -n`. */
function commandOf(line: string): string {
  const detached = /\b(start|follow) [a-z0-9_]+/.exec(line);
  return detached?.[0] ?? line.replace(/^sudo -n /, '');
}

/**
 * Connects the command's three streams. When the connection is gone they are closed; the command is not
 * killed.
 */
function connect(child: ChildProcess, channel: ServerChannel, input: Readable): void {
  const { stdin, stdout, stderr } = child;
  if (stdin === null || stdout === null || stderr === null) throw new Error('a child without pipes');
  stdin.on('error', () => stdin.destroy());
  channel.on('error', () => channel.destroy());
  input.pipe(stdin);
  stdout.pipe(channel, { end: false });
  stderr.pipe(channel.stderr, { end: false });
  child.on('error', (error) => channel.stderr.write(`bash: ${error.message}\n`));
  channel.on('close', () => {
    stdin.destroy();
    stdout.destroy();
    stderr.destroy();
  });
}

/**
 * Passes on so many bytes and no more. `onEnough` is called a little later, so that they are read before a
 * cut.
 */
function upTo(bytes: number, onEnough: () => void): Transform {
  let left = bytes;
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      const enough = chunk.length >= left;
      const part = chunk.subarray(0, Math.max(0, left));
      if (left > 0 && enough) setTimeout(onEnough, 50);
      left -= chunk.length;
      done(null, part);
    },
    // The end of the input comes after the cut, so it never arrives.
    flush(done) {
      if (left > 0) done();
    },
  });
}

function reportExit(channel: ServerChannel, code: number | null, signal: NodeJS.Signals | null): void {
  if (signal === null) channel.exit(code ?? 255);
  else channel.exit(signal.replace(/^SIG/, ''));
  channel.end();
}

function signalGroup(child: ChildProcess, signal: NodeJS.Signals): void {
  if (child.pid === undefined || child.exitCode !== null) return;
  try {
    process.kill(-child.pid, signal);
  } catch {
    // It has ended in the meantime.
  }
}

function publicKeyOf(privateKey: string): string {
  const key = ssh2.utils.parseKey(privateKey);
  if (key instanceof Error) throw key;
  return `${key.type} ${key.getPublicSSH().toString('base64')}`;
}

/** A new ed25519 key pair in OpenSSH's formats. */
export function generateKeyPair(): { privateKey: string; publicKey: string } {
  for (;;) {
    const pair = ssh2.utils.generateKeyPairSync('ed25519');
    // ssh2 drops leading zero bytes of the public key, and then cannot read one file in 256.
    const readable = !(ssh2.utils.parseKey(pair.private) instanceof Error);
    if (readable) return { privateKey: pair.private, publicKey: pair.public.trim() };
  }
}
