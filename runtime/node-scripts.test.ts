import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { scriptText } from '../test/node-scripts/harness.ts';
import { assembleAll, assembledScripts } from './node-scripts.mjs';

const sources = join(import.meta.dirname, 'node-scripts');
const names = readdirSync(sources).filter((name) => name.endsWith('.sh'));
const sourceText = (name: string) => readFileSync(join(sources, name), 'utf8');
const librariesOf = (name: string) =>
  [...sourceText(name).matchAll(/^source .*\/(lib\/\w+\.sh)"$/gm)].map(([, library = '']) => library);
const bash = (args: string[], input = '') => spawnSync('bash', args, { input, encoding: 'utf8' });

test('every script is there, for anybody to run', () => {
  expect(readdirSync(assembledScripts)).toEqual(names);
  for (const name of names) expect(statSync(join(assembledScripts, name)).mode & 0o777).toBe(0o755);
  expect(new Set(names.flatMap(librariesOf))).toEqual(new Set(['lib/common.sh', 'lib/packages.sh']));
});

describe.each(names)('%s', (name) => {
  const text = scriptText(name);

  test('is its source with its libraries, whole', () => {
    const libraries = librariesOf(name).map((library) => sourceText(library));
    for (const library of libraries) expect(text.split(library)).toHaveLength(2);
    const own = sourceText(name).replace(/^source .*\n/gm, '');
    expect(libraries.reduce((rest, library) => rest.replace(library, () => ''), text)).toBe(own);
  });

  test('needs nothing beside it', () => {
    expect(text).not.toMatch(/^\s*(source|\.)\s|BASH_SOURCE/m);
  });

  // What shellcheck says of it, it says of its source and the libraries: `make check` asks.
  test('is bash', () => {
    expect(bash(['-n', join(assembledScripts, name)])).toMatchObject({ status: 0, stderr: '' });
  });
});

const withUsage = names.filter((name) => sourceText(name).includes('\nusage() {\n'));

test.each(withUsage)('%s tells its usage on standard input, as a file, and in a checkout', (name) => {
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

  /** A folder with a script of this text, and where it is assembled to. */
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

  test('puts a library where it is sourced, as it is', () => {
    const { from, to } = folders(`set -u\n${library}\nsay hello`);
    assembleAll(from, to);
    expect(readFileSync(join(to, 'one.sh'), 'utf8')).toBe(
      'set -u\nsay() { printf "%s$&\\n" "$1"; }\nsay hello\n',
    );
  });

  test.each([
    ['a library that is not there', source('comon.sh'), 'sources lib/comon.sh, which is not'],
    ['another way to source', 'source lib/common.sh', 'cannot work on a node: source lib/common.sh'],
    ['a shorter one', '  . lib/common.sh', 'cannot work on a node: . lib/common.sh'],
    ['one of two on a line', `${library}; say x`, 'cannot work on a node: source "$(dirname'],
    ['a condition', `[[ -z $x ]] || ${library}`, 'cannot work on a node: [[ -z $x ]] || source'],
    ['a library that sources', source('nested.sh'), 'cannot work on a node: . /etc/os-release'],
  ])('refuses %s, by the name of the script', (_what, text, message) => {
    const { from, to } = folders(text);
    expect(() => assembleAll(from, to)).toThrow(`${join(from, 'one.sh')}`);
    expect(() => assembleAll(from, to)).toThrow(message);
    expect(() => readdirSync(to)).toThrow('ENOENT');
  });

  test('follows what has changed, takes away what is gone, and leaves the rest alone', () => {
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
