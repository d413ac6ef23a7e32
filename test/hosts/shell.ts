import { type ExecFileOptions, execFile } from 'node:child_process';
import { promisify } from 'node:util';

const exec = promisify(execFile);

/**
 * Runs a program on this machine until it exits, and resolves with its standard output.
 * @throws Error with its output when it fails
 */
export async function run(
  program: string,
  args: readonly string[],
  options: ExecFileOptions = {},
): Promise<string> {
  try {
    const { stdout } = await exec(program, [...args], { maxBuffer: 64 << 20, ...options, encoding: 'utf8' });
    return stdout;
  } catch (error) {
    const { stdout = '', stderr = '' } = error as { stdout?: string; stderr?: string };
    throw new Error(`${program} ${args.join(' ')} failed:\n${stdout}${stderr}`, { cause: error });
  }
}

/** Directories that run.sh has prepared for the tests. */
export const machine = {
  /** Scratch directory in memory; it disappears with the namespaces. */
  get work(): string {
    return environment('TEST_WORK');
  },
  /** Directory with the trees `base` and `etcd` of base.sh. */
  get trees(): string {
    return environment('HOSTS_TREES');
  },
};

/** A variable that run.sh sets. */
export function environment(name: string): string {
  const value = process.env[name];
  if (value === undefined || value === '')
    throw new Error(`${name} is not set: run these tests with make hosts-test or make cluster-test`);
  return value;
}

/** Mounts a writable layer over directories, the topmost first. Resolves with the mount point. */
export async function overlay(directory: string, lower: readonly string[]): Promise<string> {
  const [upper, work, root] = ['upper', 'work', 'root'].map((name) => `${directory}/${name}`);
  await run('mkdir', ['-p', `${upper}`, `${work}`, `${root}`]);
  const options = `lowerdir=${lower.join(':')},upperdir=${upper},workdir=${work}`;
  await run('mount', ['-t', 'overlay', 'overlay', '-o', options, `${root}`]);
  return `${root}`;
}
