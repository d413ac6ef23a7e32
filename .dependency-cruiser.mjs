/**
 * Which TypeScript files may import which; `make check` enforces it. `scripts/rooms.mjs` writes this list,
 * and the imports that there are, into docs/architecture/rooms.md.
 *
 * A room of the runtime may import from itself, from every room on a lower floor, and on its own floor from
 * the rooms in `beside`.
 */
export const rooms = [
  {
    name: 'vocabulary',
    floor: 1,
    files: ['names.ts', 'errors.ts', 'labels.ts', 'duration.ts', 'release.ts', 'wait.ts'],
    holds: 'names and values, without input or output',
  },
  {
    name: 'settings',
    floor: 1,
    folder: 'settings/',
    beside: ['vocabulary'],
    holds: 'the schema of the settings and its parts',
  },
  {
    name: 'http',
    floor: 2,
    files: ['http.ts', 'secret-file.ts'],
    holds: 'shared by the clients of services',
  },
  {
    name: 'prometheus',
    floor: 2,
    folder: 'prometheus/',
    beside: ['http'],
    holds: 'the client of Prometheus: alerts, metrics',
  },
  {
    name: 'releases',
    floor: 2,
    folder: 'releases/',
    beside: ['http'],
    holds: 'the package repository and its lists',
  },
  {
    name: 'cluster',
    floor: 2,
    folder: 'cluster/',
    holds: 'the Kubernetes API: client, reader, writer, watch, nodes, pods, lease',
  },
  {
    name: 'ssh',
    floor: 2,
    folder: 'ssh/',
    beside: ['http', 'cluster', 'releases'],
    holds: 'a node as a machine: session, host keys, scripts, snapshots',
  },
  {
    name: 'drain',
    floor: 3,
    folder: 'drain/',
    holds: 'a drain: filter, rules, refusals, eviction',
  },
  { name: 'report', floor: 3, folder: 'report/', holds: 'reports: log, Slack, metrics, Events' },
  {
    name: 'rollout',
    floor: 3,
    folder: 'rollout/',
    holds:
      'the state of a rollout, and what is left: journal, node annotations, request, stages, kill switch',
  },
  {
    name: 'jobs',
    floor: 3,
    folder: 'jobs/',
    beside: ['rollout', 'report'],
    holds: 'a run as Jobs: placement, submission, following, which run is in progress',
  },
  {
    name: 'gates',
    floor: 4,
    folder: 'gates/',
    holds: 'one gate per file; `index.ts` says when each is checked',
  },
  {
    name: 'upgrade',
    floor: 5,
    folder: 'upgrade/',
    holds: 'the run: `stages/`, one per file, and `nodes/`, one after the other',
  },
  { name: 'detect', floor: 5, folder: 'detect/', holds: 'observe, choose, dispatch' },
  { name: 'cli', floor: 6, folder: 'cli/', holds: 'the commands: parse, call, exit code' },
].map((room) => ({ beside: [], ...room, path: pathOf(room) }));

function pathOf({ folder, files = [] }) {
  const names = files.map((name) => name.replace('.ts', '')).join('|');
  return `^runtime/src/${folder ?? `(${names})\\.ts$`}`;
}

/** Tests and their helpers may import anything. */
export const tests = '\\.test\\.ts$|^runtime/src/testing/';
const anyRoom = rooms.map(({ path }) => path).join('|');
const groundFloor = rooms.filter(({ floor }) => floor === 1).map(({ path }) => path);

/** One rule for each pair of rooms, so that the name of a violated rule has both. */
const upwards = rooms.flatMap((from) =>
  rooms
    .filter((to) => to !== from && to.floor >= from.floor && !from.beside.includes(to.name))
    .map((to) => ({
      name: `${from.name} must not import ${to.name}`,
      severity: 'error',
      comment: `${from.name} is on floor ${from.floor} and ${to.name} on floor ${to.floor}`,
      from: { path: from.path, pathNot: tests },
      to: { path: to.path },
    })),
);

export default {
  forbidden: [
    ...upwards,
    {
      name: 'no circular imports',
      severity: 'error',
      comment: 'neither of two files that import each other can be read first',
      from: {},
      to: { circular: true },
    },
    {
      name: 'every file has a room',
      severity: 'error',
      comment: 'a new room needs a row in .dependency-cruiser.mjs',
      from: {},
      to: { path: '^runtime/src/', pathNot: [tests, '^runtime/src/raw-modules\\.d\\.ts$', anyRoom] },
    },
    {
      name: 'every file with imports has a room',
      severity: 'error',
      comment: 'a new room needs a row in .dependency-cruiser.mjs',
      from: { path: '^runtime/src/', pathNot: [tests, anyRoom] },
      to: {},
    },
    {
      name: 'the program is in .ts files',
      severity: 'error',
      comment: 'imports of other kinds of files are not checked',
      from: {},
      to: { path: '^runtime/src/.*\\.[cm]ts$' },
    },
    {
      name: 'the library imports names and settings only',
      severity: 'error',
      comment: 'constructs and alerts are a library without the program',
      from: { path: '^(constructs|alerts)/', pathNot: tests },
      to: {
        pathNot: ['^(constructs|alerts)/', ...groundFloor, 'node_modules'],
        dependencyTypesNot: ['core'],
      },
    },
    {
      name: 'the program imports nothing outside runtime',
      severity: 'error',
      comment: 'the image contains only runtime/',
      from: { path: '^runtime/src/', pathNot: tests },
      to: {
        pathNot: ['^runtime/src/(?!testing/)', '^runtime/package\\.json$', 'node_modules'],
        dependencyTypesNot: ['core'],
      },
    },
  ],
  options: {
    // TypeScript 7 has no API for other programs; swc parses type imports, too.
    parser: 'swc',
    // Type imports count, except `import('…')` as a type; a test makes sure that there are none.
    tsPreCompilationDeps: true,
    doNotFollow: 'node_modules',
    exclude: '^(runtime/)?dist/',
  },
};
