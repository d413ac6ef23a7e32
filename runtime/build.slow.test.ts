import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it } from 'vitest';
import { labNodes } from '../test/lab/cluster.ts';
import { bundle, Lab } from '../test/lab/lab.ts';

/**
 * The bundle must run on the exact Node.js versions of both images and on one in between, all installed by
 * npm.
 */

const dockerfile = readFileSync(fileURLToPath(new URL('Dockerfile', import.meta.url)), 'utf8');
const imageVersions = [...dockerfile.matchAll(/^ARG \w+_IMAGE=node:(\d+\.\d+\.\d+)-/gm)].map(
  ([, v]) => v ?? '',
);

/** Outside of the work tree, so that a clean clone can use it too. */
const cache = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'k8s-version-upgrade');

/** Path of a Node.js of this version. Installs it if it is missing. */
function nodeOf(version: string): string {
  const name = `node-${process.platform}-${process.arch}`;
  const prefix = join(cache, `node-${version}`);
  const program = join(prefix, 'node_modules', name, 'bin', 'node');
  if (!existsSync(program)) {
    mkdirSync(cache, { recursive: true });
    // Install elsewhere and rename: another clone may be installing the same version.
    const fresh = mkdtempSync(`${prefix}-`);
    const args = ['install', '--prefix', fresh, '--no-save', '--ignore-scripts', `${name}@${version}`];
    const { status, stderr } = spawnSync('npm', args, { encoding: 'utf8' });
    if (status !== 0) throw new Error(stderr);
    if (existsSync(prefix)) rmSync(fresh, { recursive: true });
    else renameSync(fresh, prefix);
  }
  return program;
}

it('both images name their exact Node.js version', () => {
  expect(imageVersions).toHaveLength(2);
});

describe.each([...imageVersions, '22.22.0'])('Node.js %s', (version) => {
  let lab: Lab | undefined;
  afterEach(() => lab?.stop());

  it('runs a complete upgrade', async () => {
    const node = nodeOf(version);
    expect(spawnSync(node, ['--version'], { encoding: 'utf8' }).stdout.trim()).toBe(`v${version}`);
    lab = await Lab.start({ node, nodes: labNodes.slice(0, 3) });
    const { exitCode, stderr } = await lab.cli(['run', '--target-version', '1.34.5', '--kind', 'patch']);
    expect(stderr).toBe('');
    expect(exitCode).toBe(0);
  }, 180_000);
});

it('the bundle is one file without native parts', () => {
  // The node scripts beside it are for operators.
  expect(readdirSync(join(bundle, '..'))).toEqual(['k8s-upgrade.cjs', 'node-scripts']);
});
