import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest';
import runtime from '../../runtime/package.json' with { type: 'json' };
import { run } from '../hosts/shell.ts';

/** What containerd imports: the configuration of a docker-archive, and its layers in a directory. */
interface Image {
  /** Names of the image, with tags. */
  readonly names: readonly string[];
  readonly config: {
    readonly User?: string;
    readonly Env?: readonly string[];
    readonly Entrypoint?: readonly string[];
    readonly Cmd?: readonly string[];
  };
  /** The file system. */
  readonly root: string;
  /** Files and links of the layers above the base image: `MODE OWNER PATH`, sorted. */
  readonly added: readonly string[];
}

const repository = fileURLToPath(new URL('../..', import.meta.url));
const script = join(repository, 'test/cluster/product-image.sh');
const dist = join(repository, 'runtime/dist');
const cache = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'k8s-version-upgrade');
// Names of this process alone, so that every run of the tests builds.
const tag = `test-${process.pid}`;
const wanted = [`runtime=localhost/k8s-version-upgrade:${tag}`, `agent=localhost/agent:${tag}`];
const directory = mkdtempSync(join(tmpdir(), 'product-image-'));

const built: string[] = [];
async function build(...targets: string[]): Promise<string[]> {
  const paths = (await run(script, targets)).trim().split('\n');
  built.push(...paths);
  return paths;
}

async function unpack(archive: string): Promise<Image> {
  const parts = mkdtempSync(join(directory, 'image-'));
  const root = join(parts, 'root');
  mkdirSync(root);
  await run('tar', ['-C', parts, '-xf', archive]);
  const [manifest] = JSON.parse(readFileSync(join(parts, 'manifest.json'), 'utf8'));
  const added: string[] = [];
  for (const [index, layer] of manifest.Layers.entries()) {
    await run('tar', ['-C', root, '-xf', join(parts, layer)]);
    if (index === 0) continue;
    const lines = (await run('tar', ['--numeric-owner', '-tvf', join(parts, layer)])).trim().split('\n');
    const fields = lines.map((line) => line.split(/\s+/)).filter(([mode]) => !mode?.startsWith('d'));
    added.push(...fields.map(([mode, owner, , , , path]) => `${mode} ${owner} /${path}`));
  }
  const { config } = JSON.parse(readFileSync(join(parts, manifest.Config), 'utf8'));
  return { names: manifest.RepoTags, config, root, added: added.sort() };
}

/** Runs a command as uid 1000 on the image's file system, which is read-only, in a namespace of its own. */
function start({ root, config }: Image, command: readonly string[]) {
  const commands = `mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && mount --bind /dev "$1/dev" &&
    shift && exec chroot --userspec=1000:1000 --groups= "$@"`;
  const args = ['--mount', 'sh', '-c', commands, 'sh', root, root, 'env', '-i', ...(config.Env ?? [])];
  return spawnSync('unshare', [...args, ...command], { encoding: 'utf8' });
}

/** Processes with this variable in their environment. */
function processesWith(variable: string): string[] {
  return readdirSync('/proc').filter((pid) => {
    try {
      return /^\d+$/.test(pid) && readFileSync(`/proc/${pid}/environ`, 'utf8').includes(variable);
    } catch {
      // It has ended.
      return false;
    }
  });
}

let archives: string[];
let images: Image[];
beforeAll(async () => {
  archives = await build(...wanted);
  images = await Promise.all(archives.map(unpack));
}, 900_000);
afterAll(() => {
  for (const path of [...built, directory]) rmSync(path, { recursive: true, force: true });
});

const added = [
  '-r-xr-xr-x 0/0 /opt/k8s-upgrade/k8s-upgrade.cjs',
  ...readdirSync(join(dist, 'node-scripts')).map(
    (name) => `-r-xr-xr-x 0/0 /opt/k8s-upgrade/node-scripts/${name}`,
  ),
];

describe.each([
  {
    target: 'runtime',
    index: 0,
    config: { User: '1000:1000', Entrypoint: ['node', '/opt/k8s-upgrade/k8s-upgrade.cjs'] },
    production: true,
    node: '24.',
    command: ['node', '/opt/k8s-upgrade/k8s-upgrade.cjs'],
    files: added,
  },
  {
    target: 'agent',
    index: 1,
    // The agent's own user and command stay.
    config: { Cmd: ['node'] },
    production: false,
    node: '20.',
    command: ['k8s-upgrade'],
    files: ['-r-xr-xr-x 0/0 /usr/local/bin/k8s-upgrade'],
  },
])('the image of the target $target', ({ index, config, production, node, command, files }) => {
  const image = () => images[index] as Image;

  it('has the name that was asked for', () => {
    expect(image().names).toEqual([wanted[index]?.replace(/^\w+=/, '')]);
  });

  it('has the user, the entrypoint and the environment that the Dockerfile promises', () => {
    const { User, Entrypoint, Cmd, Env } = image().config;
    expect({ User, Entrypoint, Cmd }).toEqual({
      User: undefined,
      Entrypoint: undefined,
      Cmd: undefined,
      ...config,
    });
    expect(Env?.includes('NODE_ENV=production')).toBe(production);
    // Nothing that was only for the build is left.
    expect(Env?.map((entry) => entry.split('=')[0])).toEqual([
      'PATH',
      'NODE_VERSION',
      ...(production ? ['NODE_ENV'] : []),
    ]);
  });

  it('has only the program besides its base, for everybody to read and run and for nobody to write', () => {
    expect(image().added).toEqual(files);
  });

  it('starts as uid 1000 on a read-only file system', () => {
    expect(start(image(), [...command, '--version'])).toMatchObject({
      status: 0,
      stdout: `${runtime.version}\n`,
      stderr: '',
    });
    expect(start(image(), ['node', '--version']).stdout).toContain(`v${node}`);
    expect(start(image(), ['id', '-u']).stdout).toBe('1000\n');
    // Both would be true of a file system that only root may write to.
    expect(start(image(), ['touch', '/tmp/file']).stderr).toContain('Read-only file system');
  });
});

it('the node scripts in the image are those of the checkout', () => {
  const scripts = '/opt/k8s-upgrade/node-scripts';
  for (const name of readdirSync(join(dist, 'node-scripts')))
    expect(readFileSync(join(images[0]?.root ?? '', scripts, name), 'utf8'), name).toBe(
      readFileSync(join(dist, 'node-scripts', name), 'utf8'),
    );
});

/** Environment in which no program is found except these. */
function onlyPrograms(...names: string[]): NodeJS.ProcessEnv {
  const bin = mkdtempSync(join(directory, 'bin-'));
  for (const name of names) {
    const { stdout } = spawnSync('bash', ['-c', `type -P ${name}`], { encoding: 'utf8' });
    symlinkSync(stdout.trim(), join(bin, name));
  }
  return { ...process.env, PATH: bin };
}
const plain = [
  'bash',
  'cut',
  'dirname',
  'env',
  'find',
  'id',
  'printf',
  'sed',
  'sha256sum',
  'sort',
  'touch',
  'tr',
];
const tools = [...plain, 'uname', 'xargs', 'flock', 'jq', 'mkdir', 'setpriv', 'unshare'];

it('an archive whose inputs have not changed is used again, and needs no program to build it', async () => {
  expect((await run(script, wanted, { env: onlyPrograms(...tools) })).trim().split('\n')).toEqual(archives);
});

it('without buildah one line says what is missing, and nothing is written', () => {
  const empty = mkdtempSync(join(directory, 'cache-'));
  const env = { ...onlyPrograms(...tools, 'debootstrap', 'npm'), XDG_CACHE_HOME: empty };
  const { status, stdout, stderr } = spawnSync(script, wanted, { encoding: 'utf8', env });
  expect(stderr).toMatch(/^product-image: not built: missing programs: buildah \([^\n]*\)\n$/);
  expect({ status, stdout, written: readdirSync(empty) }).toEqual({ status: 1, stdout: '', written: [] });
});

it.each(['', 'localhost/a:1', 'build=localhost/a:1', 'runtime=localhost/a'])(
  'refuses the arguments "%s"',
  (words) => {
    const { status, stderr } = spawnSync(script, words.split(' ').filter(Boolean), { encoding: 'utf8' });
    expect(stderr).toMatch(/^product-image: not built: .*TARGET=NAME[^\n]*\n$/);
    expect(status).toBe(1);
  },
);

it('killed while it builds, it leaves no process and no mount, and builds the next time', async () => {
  const target = `agent=localhost/killed:${tag}`;
  const mark = `PRODUCT_IMAGE_TEST=${tag}`;
  const building = spawn(script, [target], { env: { ...process.env, PRODUCT_IMAGE_TEST: tag } });
  onTestFinished(() => void building.kill('SIGKILL'));
  let progress = '';
  building.stderr.on('data', (data) => {
    progress += data;
  });
  await vi.waitFor(() => expect(progress).toContain('building agent'), { timeout: 240_000 });
  await vi.waitFor(() => expect(processesWith(mark).length).toBeGreaterThan(3), { timeout: 60_000 });
  building.kill('SIGKILL');
  await once(building, 'exit');
  await vi.waitFor(() => expect(processesWith(mark)).toEqual([]), { timeout: 20_000 });
  expect(readFileSync('/proc/mounts', 'utf8')).not.toContain('product-image');
  // Other clones use this cache at the same time.
  const left = readdirSync(cache);
  const [archive = ''] = await build(target);
  expect((await unpack(archive)).names).toEqual([`localhost/killed:${tag}`]);
  expect(left).not.toContain(basename(archive));
  expect(readdirSync(cache)).not.toContain(`${basename(archive)}.part`);
}, 900_000);
