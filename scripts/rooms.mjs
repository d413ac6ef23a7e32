// Writes the rooms of the runtime and their imports into docs/architecture/rooms.md. With --check it only
// checks that the file is up to date, and exits with 1 when it is not.
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { cruise } from 'dependency-cruiser';
import config, { rooms, tests } from '../.dependency-cruiser.mjs';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const file = join(root, 'docs/architecture/rooms.md');

/** Room → the rooms that its files import. */
async function importsOfRooms() {
  const options = { ...config.options, baseDir: root, exclude: [tests, config.options.exclude] };
  const { output } = await cruise(['runtime/src'], options);
  const roomOf = (path) => rooms.find((room) => new RegExp(room.path).test(path))?.name;
  const imports = new Map(rooms.map(({ name }) => [name, new Set()]));
  for (const { source, dependencies } of output.modules) {
    const from = roomOf(source);
    for (const to of dependencies.map(({ resolved }) => roomOf(resolved))) {
      if (from !== undefined && to !== undefined && from !== to) imports.get(from).add(to);
    }
  }
  return imports;
}

/** Whether one room imports another indirectly, through a third. */
function isReachedThroughOthers(imports, from, to) {
  const seen = new Set();
  const reaches = (room) => {
    if (room === to) return true;
    if (seen.has(room)) return false;
    seen.add(room);
    return [...imports.get(room)].some(reaches);
  };
  return [...imports.get(from)].some((other) => other !== to && reaches(other));
}

/** A flow chart. Omits an arrow when a path through other rooms exists; the table has all imports. */
function picture(imports) {
  const floors = [...new Set(rooms.map(({ floor }) => floor))].sort((a, b) => b - a);
  const arrows = [...imports].flatMap(([from, all]) =>
    [...all].filter((to) => !isReachedThroughOthers(imports, from, to)).map((to) => `  ${from} --> ${to}`),
  );
  return [
    '```mermaid',
    'flowchart TD',
    ...floors.flatMap((floor) => [
      `  subgraph floor${floor}["floor ${floor}"]`,
      ...rooms.filter((room) => room.floor === floor).map(({ name }) => `    ${name}`),
      '  end',
    ]),
    ...arrows.sort(),
    '```',
  ];
}

function table(imports) {
  const rows = rooms.toReversed().map(({ floor, name, folder, files = [], holds }) => {
    const where = folder ? [`runtime/src/${folder}`] : files.map((file) => `runtime/src/${file}`);
    const from = rooms.filter((room) => imports.get(name).has(room.name)).map((room) => room.name);
    const cells = [floor, name, holds, where.map((path) => `\`${path}\``).join(', '), from.join(', ')];
    return `| ${cells.join(' | ')} |`;
  });
  return ['| Floor | Room | What lives there | Where | Imports from |', '|---|---|---|---|---|', ...rows];
}

const before = readFileSync(file, 'utf8');
const begin = '<!-- rooms: `make rooms` writes them -->';
const end = '<!-- end of the rooms -->';
const [head] = before.split(begin);
const [, tail] = before.split(end);
const imports = await importsOfRooms();
const written = [...table(imports), '', ...picture(imports)].join('\n');
const after = `${head}${begin}\n${written}\n${end}${tail}`;
if (process.argv.includes('--check')) {
  if (after !== before) {
    console.error('error: docs/architecture/rooms.md does not match the code; run make rooms');
    process.exitCode = 1;
  }
} else writeFileSync(file, after);
