import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePorts, Program, until } from '../program.ts';

/** What is in Vault, and must be in no state. */
export const secrets = {
  ssh_key: '-----BEGIN OPENSSH PRIVATE KEY-----\nnot-a-real-key\n-----END OPENSSH PRIVATE KEY-----\n',
  ssh_key_pub: 'ssh-ed25519 not-a-real-public-key',
  slack_webhook: 'https://hooks.slack.invalid/services/not-a-real-webhook',
};
export const agentToken = 'not-a-real-agent-token';

/** A real Vault in dev mode: everything in memory, the key-value store (version 2) at `secret/`. */
export class Vault {
  /** `http://127.0.0.1:<port>`. */
  readonly url: string;
  /** May do everything. */
  readonly token: string;
  readonly #dir: string;
  readonly #server: Program;

  private constructor(url: string, token: string, dir: string, server: Program) {
    this.url = url;
    this.token = token;
    this.#dir = dir;
    this.#server = server;
  }

  /** @param directory of the program `vault`. */
  static async start(directory: string): Promise<Vault> {
    const dir = await mkdtemp(join(tmpdir(), 'vault-'));
    const [port = 0] = await freePorts(1);
    const token = randomBytes(24).toString('hex');
    const server = new Program(
      join(directory, 'vault'),
      ['server', '-dev', '-dev-no-store-token', `-dev-listen-address=127.0.0.1:${port}`],
      dir,
      { VAULT_DEV_ROOT_TOKEN_ID: token, SKIP_SETCAP: '1' },
    );
    const url = `http://127.0.0.1:${port}`;
    await until('vault', [server], async () => (await fetch(`${url}/v1/sys/health`)).ok);
    return new Vault(url, token, dir, server);
  }

  /** The answer's status and data. @param path below `/v1/`. */
  async ask(
    method: string,
    path: string,
    body?: object,
    token = this.token,
  ): Promise<{ status: number; data?: Record<string, unknown>; auth?: { client_token: string } }> {
    const answer = await fetch(`${this.url}/v1/${path}`, {
      method,
      headers: { 'X-Vault-Token': token },
      body: body && JSON.stringify(body),
    });
    const text = await answer.text();
    return { ...(text === '' ? {} : JSON.parse(text)), status: answer.status };
  }

  /** Writes a secret of the store at `secret/`. */
  async put(path: string, data: Readonly<Record<string, string>>): Promise<void> {
    const { status } = await this.ask('POST', `secret/data/${path}`, { data });
    if (status >= 300) throw new Error(`vault does not take secret/${path}: ${status}`);
  }

  /**
   * What the operator has put into it. The state's credentials are answered with as the database engine
   * would; that one is not in this build. /
   */
  async fill({ user: username, password }: { user: string; password: string }): Promise<void> {
    await this.put('k8s-upgrade', secrets);
    await this.put('claude-agent-service', { api_bearer_token: agentToken });
    await this.ask('POST', 'sys/mounts/database', { type: 'kv', options: { version: '1' } });
    await this.ask('POST', 'database/static-creds/pg-terraform-state', { username, password });
  }

  /** A token that may do what these policies say and nothing else. */
  async tokenWith(policies: readonly string[]): Promise<string> {
    const { auth } = await this.ask('POST', 'auth/token/create', { policies, no_default_policy: true });
    if (auth === undefined) throw new Error('vault gives no token');
    return auth.client_token;
  }

  async stop(): Promise<void> {
    await this.#server.stop();
    await rm(this.#dir, { recursive: true, force: true });
  }
}
