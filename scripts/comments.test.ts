import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { root } from '../test/docs/markdown.ts';

const projects = mkdtempSync(join(tmpdir(), 'k8s-upgrade-comments-'));
afterAll(() => rmSync(projects, { recursive: true, force: true }));

type Files = readonly (readonly [file: string, text: string])[];

/** Runs `scripts/comments.mjs` in a repository of these files, with a line width of 40. */
const check = (files: Files) => checkAfter([['init'], ['add', '.']], files);

/** The same after these commands of git. */
function checkAfter(commands: readonly (readonly string[])[], files: Files) {
  const project = mkdtempSync(join(projects, 'project-'));
  for (const [file, text] of [['biome.json', '{"formatter":{"lineWidth":40}}'], ...files] as const) {
    mkdirSync(dirname(join(project, file)), { recursive: true });
    writeFileSync(join(project, file), text);
  }
  for (const words of commands) expect(spawnSync('git', words, { cwd: project }).status).toBe(0);
  const { status, stdout, stderr } = spawnSync(process.execPath, [join(root, 'scripts/comments.mjs')], {
    cwd: project,
    encoding: 'utf8',
  });
  return { status, coverage: stdout, faults: stderr.split('\n').slice(0, -1) };
}

const passes = { status: 0, faults: [] };

describe('the checked files', () => {
  const wrong = [['a.ts', '// The next leg.\n']] as const;

  it('include new ones, except those that git ignores', () => {
    const { faults } = checkAfter(
      [['init']],
      [...wrong, ['.gitignore', 'ignored.ts\n'], ['ignored.ts', '// The next leg.\n']],
    );
    expect(faults).toEqual(['a.ts:1: "leg", say: Job']);
  });

  it('cannot be listed outside a git checkout', () => {
    const { status, faults } = checkAfter([], wrong);
    expect(status).toBe(1);
    expect(faults).toEqual(['comments.mjs lists the files with git: run it in a git checkout']);
  });
});

describe('the width of comments', () => {
  const long = 'a comment that goes beyond the fortieth column';
  const url = `https://example.com/${'a'.repeat(40)}`;

  it('fails when a comment is wider than code may be', () => {
    const { status, faults } = check([
      ['whole.ts', `\n// ${long}\n`],
      ['behind.ts', `const a = 1; // ${long}\n`],
      ['block.mjs', `/**\n * a\n * ${long}\n */\n`],
      ['first-of-block.cjs', `/** ${long}\n * a */\n`],
      ['url-and-word.ts', `// see ${url}\n`],
      ['json.jsonc', `{\n  // ${long}\n}\n`],
      ['whole.sh', `:\n# ${long}\n`],
      ['behind.sh', `echo "#" '#' $# # ${long}\n`],
      ['bin/by-its-first-line', `#!/usr/bin/env bash\n# ${long}\n`],
      ['Makefile', `a: b ## ${long}\n`],
      ['.github/a.yml', `a: 1 # ${long}\n`],
    ]);
    expect(status).toBe(1);
    expect(faults.map((fault) => fault.replace(' wide, expected at most 40', ''))).toEqual([
      '.github/a.yml:1: a comment 53',
      'Makefile:1: a comment 54',
      'behind.sh:1: a comment 64',
      'behind.ts:1: a comment 62',
      'bin/by-its-first-line:2: a comment 48',
      'block.mjs:3: a comment 49',
      'first-of-block.cjs:1: a comment 50',
      'json.jsonc:2: a comment 51',
      'url-and-word.ts:1: a comment 67',
      'whole.sh:2: a comment 48',
      'whole.ts:2: a comment 49',
    ]);
  });

  it('passes what is not a comment, is no wider, or cannot be broken', () => {
    const result = check([
      ['forty.ts', `// ${'a '.repeat(18)}a\n`],
      ['url.ts', `/**\n * ${url}\n */\n`],
      ['code.ts', `const a = '// ${long}';\n`],
      ['code-behind.ts', `const a = /* a b */ '${long}';\n`],
      ['quotes.sh', `echo "a # ${long}" 'b # ${long}' \\# ${long}\n`],
      ['expansions.sh', `echo \${#a} $# "${long}"\n`],
      ['another.txt', `# ${long}\n`],
    ]);
    expect(result).toMatchObject(passes);
  });
});

describe('words that this project avoids', () => {
  it('fail in comments, strings and names', () => {
    const { status, faults } = check([
      ['1.ts', '\n// The next leg.\n'],
      ['2.ts', "const a = 'Told Slack';\n"],
      ['3.ts', 'const isTouchedNode = 1;\n'],
      ['4.ts', 'const legCount = 1;\n'],
      ['5.mjs', 'const MOST_LEGS = 1;\n'],
      ['6.sh', 'untaken=1\n'],
      ['7.ts', '// It goes on.\n'],
      ['8.ts', '/**\n * It goes\n * on.\n */\n'],
      ['9.ts', 'const notToBeHad = 1;\n'],
      ['beside-a-contract.ts', "const leg = 'k8s-upgrade/leg';\n"],
      ['with-a-colon.ts', '// The next leg: a Job.\n'],
      ['with-quotes.ts', `const a = 'the "leg" of a run';\n`],
    ]);
    expect(status).toBe(1);
    expect(faults).toEqual([
      '1.ts:2: "leg", say: Job',
      '2.ts:1: "told", say: reported',
      '3.ts:1: "touched", say: changed',
      '4.ts:1: "leg", say: Job',
      '5.mjs:1: "legs", say: Job',
      '6.sh:1: "untaken", say: unscheduled',
      '7.ts:1: "goes on", say: continues, resumes',
      '8.ts:2: "goes on", say: continues, resumes',
      '9.ts:1: "to be had", say: not available, not offered',
      'beside-a-contract.ts:1: "leg", say: Job',
      'with-a-colon.ts:1: "leg", say: Job',
      'with-quotes.ts:1: "leg", say: Job',
    ]);
  });

  it('fail in the prose of a document, at its line', () => {
    const { faults } = check([['a.md', 'A leg.\n```\nlegs\n```\nThe label `k8s-upgrade/leg`, and a leg.\n']]);
    expect(faults).toEqual(['a.md:1: "leg", say: Job', 'a.md:5: "leg", say: Job']);
  });

  it('pass as parts of other words, and in contracts', () => {
    const result = check([
      ['longer.ts', '// legal, delegated, retouched\n'],
      ['apart.ts', '// It goes: on and on.\n'],
      ['command.ts', "const a = 'touch /tmp/a';\n"],
      ['label.ts', "const a = 'k8s-upgrade/leg';\n"],
      ['flag.ts', "const a = '--leg <n>';\n"],
      ['key.ts', 'const a = { leg: 1 };\n'],
      ['annotation.ts', "const a = 'k8s-upgrade-touched';\n"],
    ]);
    expect(result).toMatchObject(passes);
  });
});

describe('the doc comments', () => {
  const areas = [
    ['constructs', 'constructs/a.ts'],
    ['alerts', 'alerts/a.ts'],
    ['settings', 'runtime/src/settings/a.ts'],
    ['ports', 'runtime/src/gates/a.ts'],
  ] as const;
  /** An interface of this many members with a doc comment, and one without. */
  const members = (documented: number) => {
    const lines = Array.from({ length: documented }, (_, n) => `/** Of ${n}. */ a${n}: string;\n`);
    return `export interface A {\n${lines.join('')}b: string;\n}\n`;
  };

  it('pass when nine of ten members have one', () => {
    const result = check(areas.map(([, file]) => [file, members(9)]));
    expect(result).toMatchObject(passes);
    const lines = areas.map(([area]) => `doc comments in ${area}: 9 of 10, at least 9 expected\n`);
    expect(result.coverage).toBe(lines.join(''));
  });

  it('fail when fewer have one', () => {
    const { status, faults } = check(areas.map(([, file]) => [file, members(8)]));
    expect(status).toBe(1);
    expect(faults).toEqual(areas.map(([, file]) => `${file}:10: A.b has no doc comment`));
  });

  it('are required in front of each member of an interface and each key of a schema', () => {
    const { faults } = check([
      ['alerts/1.ts', 'export interface A { b(): void }'],
      ['alerts/2.ts', 'export interface A {\n// Of a.\nb: 1 }'],
      ['alerts/3.ts', 'export interface A {\n/** */\nb: 1 }'],
      ['alerts/3-letter.ts', 'export interface A {\n/** b */\nb: 1 }'],
      ['alerts/4.ts', 'export interface A {\n/** Of a. */\n/** Of b. */ b: 1;\nc: 1 }'],
      ['alerts/5.ts', 'const a = z.strictObject({ b: z.string() });'],
      ['alerts/6.ts', 'const a = z.object({ /** Of b. */ b: z.strictObject({ c: 1 }).optional() });'],
    ]);
    expect(faults.map((fault) => fault.replace(' has no doc comment', ''))).toEqual([
      'alerts/1.ts:1: A.b',
      'alerts/2.ts:3: A.b',
      'alerts/3-letter.ts:3: A.b',
      'alerts/3.ts:3: A.b',
      'alerts/4.ts:4: A.c',
      'alerts/5.ts:1: b',
      'alerts/6.ts:1: c',
    ]);
  });

  it('are required nowhere else', () => {
    const result = check([
      ['constructs/a.ts', 'interface NotExported { b: 1 }'],
      ['constructs/a.test.ts', 'export interface OfTest { b: 1 }'],
      ['runtime/src/testing/a.ts', 'export interface OfTests { b: 1 }'],
      ['runtime/src/settings/a.ts', 'const a = z.enum({ b: 1 });'],
    ]);
    expect(result).toMatchObject(passes);
  });
});
