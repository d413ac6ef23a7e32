import { spawn } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Parts } from './parts.ts';

const root = fileURLToPath(new URL('../../../', import.meta.url));

/** What to synthesize, and with what environment. */
export interface ProjectOptions {
  /** Path of the program that synthesizes, such as `main.ts`. */
  readonly app: string;
  /** The environment of the operator's shell, in addition to PATH and HOME. */
  readonly env: Readonly<Record<string, string>>;
}

/** A checkout of this project in which an operator runs `scripts/tg`. */
export class Project {
  readonly #dir = mkdtempSync(join(tmpdir(), 'tg-project-'));
  readonly #env: Record<string, string>;

  constructor({ app, env }: ProjectOptions) {
    cpSync(join(root, 'scripts/tg'), join(this.#dir, 'scripts/tg'));
    symlinkSync(join(root, 'node_modules'), join(this.#dir, 'node_modules'));
    writeFileSync(join(this.#dir, 'cdktf.json'), JSON.stringify({ app: `node --import tsx ${app}` }));
    this.#env = { PATH: process.env.PATH ?? '', HOME: this.#dir, NO_COLOR: '1', ...env };
  }

  /** Sets an environment variable for every later program. */
  set(name: string, value: string): void {
    this.#env[name] = value;
  }

  /** Runs a program in the project. `status` is null after a signal; `output` is stdout and stderr. */
  run(program: string, args: readonly string[]): Promise<{ status: number | null; output: string }> {
    const child = spawn(program, args, {
      cwd: this.#dir,
      env: this.#env,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let output = '';
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (chunk: Buffer) => {
        output += chunk;
      });
    return new Promise((resolve, reject) => {
      child.once('error', reject).once('close', (status) => resolve({ status, output }));
    });
  }

  /** Runs `scripts/tg`, as {@link run} does. */
  tg(...args: string[]): Promise<{ status: number | null; output: string }> {
    return this.run('bash', [join(this.#dir, 'scripts/tg'), ...args]);
  }

  /**
   * Synthesizes and returns the stack's Terraform as JSON text. @throws Error with the output when it fails.
   */
  async synthesized(stack: string): Promise<string> {
    const path = join(this.#dir, 'cdktf.out/stacks', stack, 'cdk.tf.json');
    const { app } = JSON.parse(readFileSync(join(this.#dir, 'cdktf.json'), 'utf8'));
    const { status, output } = await this.run('bash', ['-c', app]);
    if (status !== 0) throw new Error(output);
    return readFileSync(path, 'utf8');
  }

  /**
   * Lets terraform install the stack's providers only from this machine. Call it once.
   *
   * @returns the missing releases, such as `kubernetes 2.38.0`.
   */
  async useProviders(stack: string, parts: Parts): Promise<string[]> {
    const mirror = process.env.TERRAFORM_PROVIDERS ?? join(this.#dir, 'providers');
    const config = join(this.#dir, 'terraform.rc');
    writeFileSync(
      config,
      `provider_installation {\n  filesystem_mirror { path = ${JSON.stringify(mirror)} }\n}\n`,
    );
    this.set('TF_CLI_CONFIG_FILE', config);
    if (process.env.TERRAFORM_PROVIDERS !== undefined) return [];

    const { required_providers } = JSON.parse(await this.synthesized(stack)).terraform;
    await mkdir(join(this.#dir, 'required'));
    const configuration = JSON.stringify({ terraform: { required_providers } });
    writeFileSync(join(this.#dir, 'required/main.tf.json'), configuration);
    const { output } = await this.run('terraform', ['-chdir=required', 'providers']);
    const wanted = [...output.matchAll(requirement)];
    const missing: string[] = [];
    for (const { 1: address = '', 2: name, 3: version } of wanted) {
      const program = parts.provider(`${name}_v${version}`);
      if (program === undefined) {
        missing.push(`${name} ${version}`);
        continue;
      }
      const folder = join(mirror, address, version ?? '', 'linux_amd64');
      await mkdir(folder, { recursive: true });
      symlinkSync(program, join(folder, `terraform-provider-${name}_v${version}`));
    }
    return missing;
  }

  /** Puts a directory first in PATH. */
  addToPath(directory: string): void {
    this.set('PATH', `${directory}${delimiter}${this.#env.PATH}`);
  }

  /** Deletes the checkout. */
  remove(): void {
    rmSync(this.#dir, { recursive: true, force: true });
  }
}

/** A line of `terraform providers`: `provider[HOST/hashicorp/kubernetes] 2.38.0`. */
const requirement = /provider\[(\S+\/([a-z]+))\] (\d+\.\d+\.\d+)/g;
