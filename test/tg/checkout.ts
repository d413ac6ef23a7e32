import { spawn, spawnSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const script = fileURLToPath(new URL('../../scripts/tg', import.meta.url));

/** How a run of scripts/tg ended. */
export interface Finished {
  readonly status: number | null;
  /** stdout and stderr. */
  readonly output: string;
  /** Milliseconds since the epoch. */
  readonly endedAt: number;
}

/** How the stub of the Vault CLI behaves. */
export interface VaultStub {
  /** Whether the token is accepted. @default true */
  readonly loggedIn?: boolean;
  /** The database credentials. @default none: the path cannot be read */
  readonly credentials?: { readonly username: string; readonly password: string };
}

/**
 * A project with scripts/tg, a stack that needs no provider, a stub of the Vault CLI, and the real terraform
 * behind a script that records its arguments.
 */
export class Checkout {
  readonly directory: string;
  readonly #bin: string;

  constructor() {
    this.directory = mkdtempSync(join(tmpdir(), 'tg-checkout-'));
    this.#bin = join(this.directory, 'bin');
    mkdirSync(this.#bin);
    mkdirSync(join(this.directory, 'scripts'));
    mkdirSync(join(this.directory, 'home'));
    copyFileSync(script, join(this.directory, 'scripts/tg'));
    this.#file('cdktf.json', JSON.stringify({ app: 'node synth.mjs' }));
    this.#file('synth.mjs', synthesizer);
    this.#program('node', `exec ${JSON.stringify(process.execPath)} "$@"`);
  }

  withVault({ loggedIn = true, credentials }: VaultStub = {}): this {
    // The stub reads the data from a file, so that no argument contains the password.
    if (credentials) this.#file('vault.json', JSON.stringify({ data: credentials }));
    this.#program(
      'vault',
      `echo "$*" >>"$LOGS/vault.log"
       case "$1" in
         token) exit ${loggedIn ? 0 : 2} ;;
         read) ${credentials ? `cat ${JSON.stringify(join(this.directory, 'vault.json'))}` : 'echo "no such path" >&2; exit 2'} ;;
       esac`,
    );
    return this;
  }

  withTerraform(): this {
    const path = spawnSync('sh', ['-c', 'command -v terraform'], { encoding: 'utf8' }).stdout.trim();
    this.#program(
      'terraform',
      `echo "$*" >>"$LOGS/terraform.log"
       echo "$KUBE_CONFIG_PATHS" >>"$LOGS/kubeconfig.log"
       exec ${path} "$@"`,
    );
    return this;
  }

  /** Arguments of each call of a program; for `kubeconfig`, terraform's KUBE_CONFIG_PATHS in each call. */
  calls(program: 'vault' | 'terraform' | 'kubeconfig'): string[] {
    try {
      return readFileSync(join(this.directory, `${program}.log`), 'utf8')
        .trim()
        .split('\n');
    } catch {
      return [];
    }
  }

  /** All files in the project except the stub's credentials, with their text. */
  leftovers(): Map<string, string> {
    const left = readdirSync(this.directory, { recursive: true, withFileTypes: true }).filter((e) =>
      e.isFile(),
    );
    const paths = left.map((entry) => join(entry.parentPath, entry.name));
    const own = join(this.directory, 'vault.json');
    return new Map(paths.filter((p) => p !== own).map((path) => [path, readFileSync(path, 'utf8')]));
  }

  run(args: string[], env: Record<string, string> = {}): Promise<Finished> {
    const child = spawn('bash', [join(this.directory, 'scripts/tg'), ...args], {
      // Outside of the project: tg finds its project by itself.
      cwd: tmpdir(),
      stdio: ['ignore', 'pipe', 'pipe'],
      env: {
        PATH: `${this.#bin}:/usr/bin:/bin`,
        HOME: join(this.directory, 'home'),
        LOGS: this.directory,
        TG_PG_SSLMODE: 'disable',
        ...env,
      },
    });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (chunk: Buffer) => {
        output += chunk.toString();
      });
    }
    return new Promise((resolve) => {
      child.once('close', (status) => resolve({ status, output, endedAt: Date.now() }));
    });
  }

  remove(): void {
    rmSync(this.directory, { recursive: true, force: true });
  }

  #file(name: string, text: string): void {
    const path = join(this.directory, name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
  }

  #program(name: string, body: string): void {
    const path = join(this.#bin, name);
    writeFileSync(path, `#!/bin/bash\n${body}\n`);
    chmodSync(path, 0o755);
  }
}

/** Writes the stack. Its resource is built into terraform and takes SLOW seconds to create. */
const synthesizer = `
import { mkdirSync, writeFileSync } from 'node:fs';
if (process.env.BROKEN) throw new Error('[stack/pipeline] schedule: "never" is not allowed');
const backend = process.env.PG_CONN_STR
  ? { pg: { schema_name: 'k8s-version-upgrade' } }
  : { local: { path: '../../../terraform.tfstate' } };
const provisioner = [{ 'local-exec': { command: 'sleep ' + (process.env.SLOW ?? 0) } }];
mkdirSync('cdktf.out/stacks/k8s-version-upgrade', { recursive: true });
writeFileSync('cdktf.out/stacks/k8s-version-upgrade/cdk.tf.json', JSON.stringify({
  terraform: { backend },
  resource: { terraform_data: { it: { input: process.env.INPUT ?? 'first', provisioner } } },
  output: { it: { value: '\${terraform_data.it.output}' } },
}));
`;
