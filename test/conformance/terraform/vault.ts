import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePorts, Program, until } from '../program.ts';

/** The secrets in Vault, which must not be in any Terraform state. */
export const secrets = {
  ssh_key: '-----BEGIN OPENSSH PRIVATE KEY-----\nnot-a-real-key\n-----END OPENSSH PRIVATE KEY-----\n',
  ssh_key_pub: 'ssh-ed25519 not-a-real-public-key',
  slack_webhook: 'https://hooks.slack.invalid/services/not-a-real-webhook',
};
/** Secret, too: the token of the agent service. */
export const agentToken = 'not-a-real-agent-token';

/** A real Vault in dev mode: everything in memory, the key-value store (version 2) at `secret/`. */
export class Vault {
  /** `http://127.0.0.1:<port>`. */
  readonly url: string;
  /** The root token. */
  readonly token: string;
  readonly #dir: string;
  readonly #server: Program;

  private constructor(url: string, token: string, dir: string, server: Program) {
    this.url = url;
    this.token = token;
    this.#dir = dir;
    this.#server = server;
  }

  /** Resolves when Vault answers. @param directory where the program `vault` is. */
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

  /** Returns the answer's status and content; an error status does not throw. @param path below `/v1/`. */
  async request(
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

  /** Writes a secret of the store at `secret/`. @throws Error when Vault refuses it. */
  async put(path: string, data: Readonly<Record<string, string>>): Promise<void> {
    const { status } = await this.request('POST', `secret/data/${path}`, { data });
    if (status >= 300) throw new Error(`vault refuses secret/${path}: ${status}`);
  }

  /**
   * Writes the operator's secrets. The state's credentials are in a key-value store, which answers like the
   * database engine; this build lacks that engine.
   */
  async fill({ user: username, password }: { user: string; password: string }): Promise<void> {
    await this.put('k8s-upgrade', secrets);
    await this.put('claude-agent-service', { api_bearer_token: agentToken });
    await this.request('POST', 'sys/mounts/database', { type: 'kv', options: { version: '1' } });
    await this.request('POST', 'database/static-creds/pg-terraform-state', { username, password });
  }

  /** A token with only these policies. */
  async tokenWith(policies: readonly string[]): Promise<string> {
    const { auth } = await this.request('POST', 'auth/token/create', { policies, no_default_policy: true });
    if (auth === undefined) throw new Error('vault returned no token');
    return auth.client_token;
  }

  /** Stops Vault and deletes its files. */
  async stop(): Promise<void> {
    await this.#server.stop();
    await rm(this.#dir, { recursive: true, force: true });
  }
}
