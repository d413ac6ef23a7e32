/**
 * `node scripts/comments.mjs`, run in the root of the project, is part of `make check`. Prints file and line
 * of each fault, and exits with 1 when there is one:
 *
 * - a comment wider than the line width in biome.json; Biome checks the code itself;
 * - a word of `words.mjs` in code, comments, strings, names or the prose of a document;
 * - members without a doc comment, when an area of `documented.mjs` has too many of them.
 */
import { spawnSync } from 'node:child_process';
import { lstatSync, readFileSync } from 'node:fs';
import { parseSync } from 'oxc-parser';
import { areaOf, areas, leastDocumented, membersOf } from './documented.mjs';
import { aboutWords, words } from './words.mjs';

const scriptName = /\.([cm]?[jt]s|jsonc)$/;
const hashName = /\.(sh|ya?ml)$|(^|\/)(Makefile|Dockerfile|\.shellcheckrc)$/;

/**
 * `script` for comments as in JavaScript, `hash` for `#`, `document` for Markdown; undefined for any other
 * file.
 */
function syntaxOf(file, text) {
  if (file.endsWith('.md')) return 'document';
  if (scriptName.test(file)) return 'script';
  return hashName.test(file) || /^#!.*\b(ba)?sh\b/.test(text) ? 'hash' : undefined;
}

/** Where in a line of bash, YAML or a Makefile the comment starts. Does not know quotes that span lines. */
function hashComment(line) {
  const [before] = /^(?:\\.|'[^']*'|"(?:\\.|[^"\\])*"|(?<!\s|^)#|[^#])*/.exec(line) ?? [''];
  return before.length < line.length ? before.length : undefined;
}

/** The index of each line that ends in a comment, and the words of that comment. */
function commentLines(file, text, syntax) {
  if (syntax === 'document') return [];
  if (syntax === 'hash') {
    return text.split('\n').flatMap((line, index) => {
      const start = hashComment(line);
      return start === undefined ? [] : [{ index, parts: partsOf(line.slice(start)) }];
    });
  }
  const lineOf = lineIndex(text);
  return commentsOf(file, text).flatMap(({ start, end }) => {
    const lines = text.slice(start, end).split('\n');
    // When code follows the comment, Biome checks the width of that line.
    if (/^[^\n]*\S/.test(text.slice(end))) lines.pop();
    return lines.map((line, n) => ({ index: lineOf(start) + n, parts: partsOf(line) }));
  });
}

/** The words of a comment, without its delimiters. */
const partsOf = (comment) =>
  comment
    .replace(/^\s*(\/\/|\/\*+|\*(?!\/)|#+)|\*+\/$/g, '')
    .split(/\s+/)
    .filter(Boolean);

function commentsOf(file, text) {
  if (!file.endsWith('.jsonc')) return parseSync(file, text).comments;
  // In parentheses, JSON is a JavaScript expression.
  const { comments } = parseSync(`${file}.js`, `(${text})`);
  return comments.map(({ start, end }) => ({ start: start - 1, end: end - 1 }));
}

/** Returns a function: offset in the text → index of its line. */
function lineIndex(text) {
  const starts = [0, ...[...text.matchAll(/\n/g)].map(({ index }) => index + 1)];
  return (offset) => starts.findLastIndex((start) => start <= offset);
}

/**
 * Comment lines that are too wide. A line of a single word, such as a URL, cannot be broken and is allowed.
 */
function wideComments(file, text, syntax, width) {
  const lines = text.split('\n').map((line) => [...line].length);
  return commentLines(file, text, syntax)
    .filter(({ index, parts }) => lines[index] > width && parts.length > 1)
    .map(({ index }) => ({ index, what: `a comment ${lines[index]} wide, expected at most ${width}` }));
}

/** Words in prose and parts of names: matches `node` in `nextNode` and `NODE` in `NODE_NAME`. */
const wordParts = /[A-Z]?[a-z]+|[A-Z]+(?![a-z])/g;
/**
 * What may separate two words of a phrase: nothing or `_` in a name, white space or a new comment line in
 * prose.
 */
const gap = /^(_|\s*([*#]|\/\/)?\s*)$/;

function wrongWords(text) {
  const lineOf = lineIndex(text);
  const found = [...text.matchAll(wordParts)].map(({ 0: part, index }) => ({
    part: part.toLowerCase(),
    start: index,
    end: index + part.length,
  }));
  const phrases = words.flatMap(({ never, say, except = [] }) =>
    never.map((phrase) => ({ phrase, wanted: phrase.split(' '), say, except })),
  );
  return found.flatMap(({ start }, at) =>
    phrases
      .filter(({ wanted }) => wanted.every((word, n) => word === found[at + n]?.part))
      .filter(({ wanted }) =>
        wanted.slice(1).every((_, n) => gap.test(text.slice(found[at + n].end, found[at + n + 1].start))),
      )
      .filter(({ except }) => !except.some((allowed) => isWithin(text, start, allowed)))
      .map(({ phrase, say }) => ({ index: lineOf(start), what: `"${phrase}", say: ${say}` })),
  );
}

/** The prose of a document: replaces code by blanks, so that offsets and lines stay the same. */
function proseOf(markdown) {
  const blank = (code) => code.replace(/[^\n]/g, ' ');
  return markdown.replace(/^ *```[\s\S]*?^ *```$/gm, blank).replace(/`[^`\n]*`/g, blank);
}

/** Whether the offset is within a match of the pattern `allowed` in its line. */
function isWithin(text, offset, allowed) {
  const from = text.lastIndexOf('\n', offset - 1) + 1;
  const [line] = text.slice(from).split('\n', 1);
  return [...line.matchAll(new RegExp(allowed, 'g'))].some(
    ({ 0: match, index }) => from + index <= offset && offset < from + index + match.length,
  );
}

/**
 * The files of code, and the documents: those that git tracks, and new ones that it does not ignore.
 *
 * @returns undefined outside a git checkout.
 */
function readSources() {
  const args = ['ls-files', '-z', '--cached', '--others', '--exclude-standard'];
  const { status, stdout } = spawnSync('git', args, { encoding: 'utf8' });
  if (status !== 0) return undefined;
  return stdout
    .split('\0')
    .filter(Boolean)
    .filter((file) => lstatSync(file, { throwIfNoEntry: false })?.isFile())
    .map((file) => ({ file, text: readFileSync(file, 'utf8') }))
    .map((source) => ({ ...source, syntax: syntaxOf(source.file, source.text) }))
    .filter(({ syntax }) => syntax !== undefined);
}

/** Prints how many members of each area have a doc comment. Returns the others where too few have one. */
function undocumented(sources) {
  return areas.flatMap(({ name }) => {
    const members = sources
      .filter(({ file }) => areaOf(file) === name)
      .flatMap(({ file, text }) => membersOf(file, text).map((member) => ({ ...member, file, text })));
    const missing = members.filter(({ documented }) => !documented);
    const written = members.length - missing.length;
    const least = Math.ceil(leastDocumented * members.length);
    console.log(`doc comments in ${name}: ${written} of ${members.length}, at least ${least} expected`);
    if (written >= least) return [];
    return missing.map((member) => ({
      file: member.file,
      index: lineIndex(member.text)(member.start),
      what: `${member.name} has no doc comment`,
    }));
  });
}

function main() {
  const { lineWidth } = JSON.parse(readFileSync('biome.json', 'utf8')).formatter;
  const sources = readSources();
  if (sources === undefined) {
    console.error('comments.mjs lists the files with git: run it in a git checkout');
    process.exitCode = 1;
    return;
  }
  const faults = sources.flatMap(({ file, text, syntax }) => {
    const prose = syntax === 'document' ? proseOf(text) : text;
    const wrong = aboutWords.test(file) ? [] : wrongWords(prose);
    return [...wideComments(file, text, syntax, lineWidth), ...wrong].map((fault) => ({ file, ...fault }));
  });
  faults.push(...undocumented(sources));
  for (const { file, index, what } of faults) console.error(`${file}:${index + 1}: ${what}`);
  if (faults.length > 0) process.exitCode = 1;
}

main();
