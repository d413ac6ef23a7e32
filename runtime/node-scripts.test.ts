import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { scriptText } from '../test/node-scripts/harness.ts';
import { assembleAll, assembledScripts } from './node-scripts.mjs';

const sources = join(import.meta.dirname, 'node-scripts');
const names = readdirSync(sources).filter((name) => name.endsWith('.sh'));
const sourceText = (name: string) => readFileSync(join(sources, name), 'utf8');
const librariesOf = (name: string) =>
  [...sourceText(name).matchAll(/^source .*\/(lib\/\w+\.sh)"$/gm)].map(([, library = '']) => library);
const bash = (args: string[], input = '') => spawnSync('bash', args, { input, encoding: 'utf8' });

test('every script is assembled, and everybody may run it', () => {
  expect(readdirSync(assembledScripts)).toEqual(names);
  for (const name of names) expect(statSync(join(assembledScripts, name)).mode & 0o777).toBe(0o755);
  expect(new Set(names.flatMap(librariesOf))).toEqual(
    new Set(['lib/common.sh', 'lib/images.sh', 'lib/manifests.sh', 'lib/packages.sh']),
  );
});

test('make builds again when only an assembled script is missing', () => {
  const root = mkdtempSync(join(tmpdir(), 'makefile-'));
  onTestFinished(() => rmSync(root, { recursive: true }));
  const files = [
    ...[
      'package.json',
      'package-lock.json',
      '.npmrc',
      'runtime/package.json',
      'node_modules/.package-lock.json',
    ],
    ...['runtime/build.mjs', 'runtime/node-scripts.mjs', 'runtime/src/main.ts', 'runtime/node-scripts/a.sh'],
    ...['runtime/dist/node-scripts/a.sh', 'runtime/dist/k8s-upgrade.cjs'],
  ].map((name) => join(root, name));
  for (const file of files) {
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, '');
  }
  const makefile = join(import.meta.dirname, '../Makefile');
  const { MAKEFLAGS: _, MAKELEVEL: __, ...env } = process.env;
  const planned = () =>
    spawnSync('make', ['-n', '-f', makefile, 'bundle'], { cwd: root, env, encoding: 'utf8' }).stdout;
  expect(planned()).toContain('Nothing to be done');
  rmSync(join(root, 'runtime/dist/node-scripts/a.sh'));
  expect(planned()).toBe('npm run --silent bundle\n');
});

describe.each(names)('%s', (name) => {
  const text = scriptText(name);

  test('consists of its source and its libraries', () => {
    const libraries = librariesOf(name).map((library) => sourceText(library));
    for (const library of libraries) expect(text.split(library)).toHaveLength(2);
    const own = sourceText(name).replace(/^source .*\n/gm, '');
    expect(libraries.reduce((rest, library) => rest.replace(library, () => ''), text)).toBe(own);
  });

  test('needs no other file', () => {
    expect(text).not.toMatch(/^\s*(source|\.)\s|BASH_SOURCE/m);
  });

  // `make check` runs shellcheck on the source and the libraries.
  test('is valid bash', () => {
    expect(bash(['-n', join(assembledScripts, name)])).toMatchObject({ status: 0, stderr: '' });
  });
});

const withUsage = names.filter((name) => sourceText(name).includes('\nusage() {\n'));

test.each(withUsage)('%s prints its usage when piped into bash, as a file, and in a checkout', (name) => {
  const piped = bash(['-s', '--', '--help'], scriptText(name));
  expect(piped).toMatchObject({ status: 0, stderr: '' });
  expect(piped.stdout).toMatch(new RegExp(`^Usage: ${name} `));
  for (const folder of [assembledScripts, sources])
    expect(bash([join(folder, name), '--help'])).toMatchObject({
      status: 0,
      stderr: '',
      stdout: piped.stdout,
    });
});

test.each(names.filter((name) => name !== 'kubelet_facts.sh'))(
  '%s runs nothing before its last line has arrived',
  (name) => {
    const text = scriptText(name);
    expect(text.endsWith('\n\nmain "$@"\n')).toBe(true);
    expect(text.match(/^main "\$@"$/gm)).toHaveLength(1);
  },
);

describe('assembling', () => {
  const source = (library: string) => `source "$(dirname "\${BASH_SOURCE[0]}")/lib/${library}"`;
  const library = source('common.sh');

  /** A source folder with a script of this text, and the folder to assemble it into. */
  function folders(text: string): { from: string; to: string } {
    const directory = mkdtempSync(join(tmpdir(), 'node-scripts-'));
    onTestFinished(() => rmSync(directory, { recursive: true }));
    const from = join(directory, 'from');
    mkdirSync(join(from, 'lib'), { recursive: true });
    writeFileSync(join(from, 'lib/common.sh'), 'say() { printf "%s$&\\n" "$1"; }\n');
    writeFileSync(join(from, 'lib/nested.sh'), '. /etc/os-release\n');
    writeFileSync(join(from, 'one.sh'), `${text}\n`);
    return { from, to: join(directory, 'to') };
  }

  test('inserts a library unchanged where it is sourced', () => {
    const { from, to } = folders(`set -u\n${library}\nsay hello`);
    assembleAll(from, to);
    expect(readFileSync(join(to, 'one.sh'), 'utf8')).toBe(
      'set -u\nsay() { printf "%s$&\\n" "$1"; }\nsay hello\n',
    );
  });

  test.each([
    ['a missing library', source('comon.sh'), 'sources lib/comon.sh, which is not'],
    ['another form of source', 'source lib/common.sh', 'cannot work on a node: source lib/common.sh'],
    ['the short form of source', '  . lib/common.sh', 'cannot work on a node: . lib/common.sh'],
    ['a second command on the line', `${library}; say x`, 'cannot work on a node: source "$(dirname'],
    ['a conditional source', `[[ -z $x ]] || ${library}`, 'cannot work on a node: [[ -z $x ]] || source'],
    ['a library that sources', source('nested.sh'), 'cannot work on a node: . /etc/os-release'],
  ])('refuses %s, naming the script', (_what, text, message) => {
    const { from, to } = folders(text);
    expect(() => assembleAll(from, to)).toThrow(`${join(from, 'one.sh')}`);
    expect(() => assembleAll(from, to)).toThrow(message);
    expect(() => readdirSync(to)).toThrow('ENOENT');
  });

  test('writes only changed scripts, and removes deleted ones', () => {
    const { from, to } = folders('echo 1');
    writeFileSync(join(from, 'two.sh'), 'echo 2\n');
    writeFileSync(join(from, 'three.sh'), 'echo 3\n');
    assembleAll(from, to);
    const { mtimeMs } = statSync(join(to, 'one.sh'));
    writeFileSync(join(from, 'two.sh'), 'echo 22\n');
    rmSync(join(from, 'three.sh'));
    assembleAll(from, to);
    expect(readdirSync(to)).toEqual(['one.sh', 'two.sh']);
    expect(readFileSync(join(to, 'two.sh'), 'utf8')).toBe('echo 22\n');
    expect(statSync(join(to, 'one.sh')).mtimeMs).toBe(mtimeMs);
  });
});
