import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { run } from './shell.ts';

const owner = 'isv:kubernetes OBS Project <isv:kubernetes@build.opensuse.org>';

/** The key of the package repositories: created in 2022 for two years, and extended since. */
export class SigningKey {
  /** Path of `Release.key`, ASCII armoured. */
  readonly armoured: string;
  /** Path of the same key as a binary keyring for apt. */
  readonly current: string;
  /** Path of a keyring with the key before its extension. */
  readonly expired: string;
  readonly #home: string;
  #fingerprint = '';

  private constructor(home: string) {
    this.#home = home;
    this.armoured = join(home, 'Release.key');
    this.current = join(home, 'current.gpg');
    this.expired = join(home, 'expired.gpg');
  }

  /** Creates a key in a new GnuPG home. */
  static async create(home: string): Promise<SigningKey> {
    await mkdir(home, { recursive: true, mode: 0o700 });
    const key = new SigningKey(home);
    await key.#generate();
    return key;
  }

  get fingerprint(): string {
    return this.#fingerprint;
  }

  /** Replaces the key with a new one. Returns the fingerprint of the old one. */
  async rotate(): Promise<string> {
    const before = this.#fingerprint;
    await this.#generate();
    return before;
  }

  /** Signs a `Release` file and writes the `InRelease` file. */
  async sign(release: string, inRelease: string): Promise<void> {
    await this.#gpg('--local-user', this.#fingerprint, '--output', inRelease, '--clearsign', release);
  }

  async #generate(): Promise<void> {
    const made = '--faked-system-time=20220825T000000';
    await this.#gpg(made, '--quick-generate-key', owner, 'rsa2048', 'sign', '2y');
    const listed = await this.#gpg('--with-colons', '--list-secret-keys');
    this.#fingerprint = [...listed.matchAll(/^fpr:+([0-9A-F]{40}):/gm)].at(-1)?.[1] ?? '';
    await this.#gpg('--output', this.expired, '--export', this.#fingerprint);
    await this.#gpg('--quick-set-expire', this.#fingerprint, '2y');
    await this.#gpg('--output', this.current, '--export', this.#fingerprint);
    await this.#gpg('--output', this.armoured, '--armor', '--export', this.#fingerprint);
  }

  #gpg(...args: string[]): Promise<string> {
    return run('gpg', ['--homedir', this.#home, '--batch', '--yes', '--quiet', '--passphrase', '', ...args]);
  }
}
