import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chownSync, existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A real PostgreSQL on loopback with password login and temporary data. */
export interface Postgres {
  /** host:port/database */
  readonly address: string;
  readonly user: string;
  readonly password: string;
  /** Output of a query, as `psql -At` prints it. */
  query(sql: string): string;
  /** Stops the server and deletes its data. */
  stop(): Promise<void>;
}

/** Directory of Debian's newest PostgreSQL binaries; undefined when there are none. */
export function postgresBinaries(): string | undefined {
  const root = '/usr/lib/postgresql';
  const versions = existsSync(root) ? readdirSync(root).sort() : [];
  const newest = versions.at(-1);
  const directory = newest === undefined ? undefined : join(root, newest, 'bin');
  return directory !== undefined && existsSync(join(directory, 'initdb')) ? directory : undefined;
}

// PostgreSQL refuses to run as root.
const nobody = 65534;
const account = process.getuid?.() === 0 ? { uid: nobody, gid: nobody } : {};

export async function startPostgres(binaries: string): Promise<Postgres> {
  const directory = mkdtempSync(join(tmpdir(), 'tg-postgres-'));
  if ('uid' in account) chownSync(directory, nobody, nobody);
  const user = 'terraform';
  // Contains every character that has a meaning in a connection string.
  const password = 'p@ss/w:ord%20?#&';
  const passwordFile = join(directory, 'password');
  writeFileSync(passwordFile, password, { mode: 0o644 });
  const data = join(directory, 'data');
  const init = spawnSync(
    join(binaries, 'initdb'),
    ['-D', data, '-U', user, '--auth=scram-sha-256', `--pwfile=${passwordFile}`, '--no-sync', '-E', 'UTF8'],
    { ...account, encoding: 'utf8', cwd: directory },
  );
  if (init.status !== 0) throw new Error(`initdb: ${init.stderr}`);
  const port = await freePort();
  const server = spawn(
    join(binaries, 'postgres'),
    [
      '-D',
      data,
      '-p',
      String(port),
      '-c',
      'listen_addresses=127.0.0.1',
      '-c',
      `unix_socket_directories=${directory}`,
      '-c',
      'fsync=off',
    ],
    { ...account, cwd: directory, stdio: 'ignore' },
  );

  const query = (sql: string): string => {
    const result = spawnSync(
      'psql',
      ['-h', '127.0.0.1', '-p', String(port), '-U', user, '-d', 'postgres', '-Atc', sql],
      {
        encoding: 'utf8',
        env: { ...process.env, PGPASSWORD: password },
      },
    );
    if (result.status !== 0) throw new Error(`psql: ${result.stderr}`);
    return result.stdout.trim();
  };
  await untilReady(() => query('select 1') === '1');
  return {
    address: `127.0.0.1:${port}/postgres`,
    user,
    password,
    query,
    async stop() {
      server.kill('SIGINT');
      if (server.exitCode === null) await once(server, 'exit');
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

async function untilReady(ready: () => boolean): Promise<void> {
  for (let attempt = 0; ; attempt += 1) {
    try {
      if (ready()) return;
    } catch (error) {
      if (attempt === 100) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}
