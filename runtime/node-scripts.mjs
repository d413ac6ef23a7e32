// Assembles each script in node-scripts/ and its libraries into the file that a node receives on stdin.
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const sources = fileURLToPath(new URL('node-scripts', import.meta.url));

/** Directory of the assembled scripts. */
export const assembledScripts = fileURLToPath(new URL('dist/node-scripts', import.meta.url));

/** In a checkout this line loads a library; in the assembled file the library replaces it. */
const include = /^source "\$\(dirname "\$\{BASH_SOURCE\[0\]\}"\)\/(\S+)"\n/gm;

/** A script on standard input has no path, so it can neither source a file nor use BASH_SOURCE. */
const leftOver = /^\s*(?:source|\.)\s.*|^.*\bBASH_SOURCE\b.*/m;

function assemble(path) {
  const text = readFileSync(path, 'utf8').replace(include, (_, name) => {
    const library = join(dirname(path), name);
    if (!existsSync(library)) throw new Error(`${path} sources ${name}, which is not there`);
    return readFileSync(library, 'utf8');
  });
  const [line] = leftOver.exec(text) ?? [];
  if (line !== undefined) throw new Error(`${path}: this line cannot work on a node: ${line.trim()}`);
  return text;
}

/**
 * Writes each script of `from` to `to`, with its libraries inlined, and removes everything else there. Files
 * that are up to date are not written, as another process may be reading them.
 *
 * @throws when a library does not exist, or a script would still source a file; nothing is written then.
 */
export function assembleAll(from = sources, to = assembledScripts) {
  const names = readdirSync(from).filter((name) => name.endsWith('.sh'));
  const scripts = new Map(names.map((name) => [name, assemble(join(from, name))]));
  mkdirSync(to, { recursive: true });
  for (const name of readdirSync(to)) if (!scripts.has(name)) rmSync(join(to, name), { recursive: true });
  for (const [name, text] of scripts) {
    const file = join(to, name);
    if (!existsSync(file) || readFileSync(file, 'utf8') !== text) writeFileSync(file, text);
    chmodSync(file, 0o755);
  }
}
