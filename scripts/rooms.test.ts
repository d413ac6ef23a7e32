import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, normalize } from 'node:path';
import { afterAll, expect, it, test } from 'vitest';
import { root } from '../test/docs/markdown.ts';

/**
 * Files with one import each; the target is relative to the file. `how` writes the import.
 * @default a type import
 */
type Files = readonly (readonly [file: string, target: string, how?: (target: string) => string])[];

const projects = mkdtempSync(join(tmpdir(), 'k8s-upgrade-rooms-'));
afterAll(() => rmSync(projects, { recursive: true, force: true }));

const ofType = (path: string) => `import type { T as T1 } from '${path}';`;

/** Checks files that contain only these imports against the rules of `.dependency-cruiser.mjs`. */
function check(name: string, imports: Files) {
  const project = join(projects, name);
  const files = new Map<string, string[]>();
  for (const [file, target, how = ofType] of imports) {
    files.set(file, [...(files.get(file) ?? []), how(target)]);
    const other = normalize(join(dirname(file), target));
    files.set(other, files.get(other) ?? []);
  }
  for (const [file, lines] of files) {
    mkdirSync(dirname(join(project, file)), { recursive: true });
    writeFileSync(join(project, file), [...lines, 'export type T = 1;', ''].join('\n'));
  }
  const folders = [...new Set([...files.keys()].map((file) => file.split('/')[0] ?? ''))];
  const words = ['--config', join(root, '.dependency-cruiser.mjs'), ...folders];
  const { status, stdout } = spawnSync(join(root, 'node_modules/.bin/depcruise'), words, {
    cwd: project,
    encoding: 'utf8',
  });
  return { status, output: stdout };
}

const src = 'runtime/src';

const dynamic = (path: string) => `export const load = () => import('${path}');`;
const reexport = (path: string) => `export * from '${path}';`;

/** Imports that break one rule each. */
const wrong: readonly (readonly [rule: string, ...Files[number]])[] = [
  ['gates must not import detect', `${src}/gates/quiet.ts`, '../detect/choose.ts'],
  ['gates must not import upgrade', `${src}/gates/compatibility/etcd.ts`, '../../upgrade/run.ts'],
  ['detect must not import upgrade', `${src}/detect/report.ts`, '../upgrade/run.ts'],
  ['rollout must not import jobs', `${src}/rollout/remaining.ts`, '../jobs/job.ts'],
  ['cluster must not import ssh', `${src}/cluster/nodes.ts`, '../ssh/session.ts'],
  ['settings must not import cluster', `${src}/settings/settings.ts`, '../cluster/pods.ts'],
  ['vocabulary must not import settings', `${src}/release.ts`, './settings/add-on-rule.ts'],
  ['no circular imports', `${src}/drain/drain.ts`, './eviction.ts'],
  ['every file has a room', `${src}/gates/alerts.ts`, '../common.ts'],
  ['the library imports names and settings only', 'constructs/egress.ts', `../${src}/gates/index.ts`],
  ['the program imports nothing outside runtime', `${src}/gates/gate.ts`, '../testing/cluster.ts'],
  ['the program imports nothing outside runtime', `${src}/cli/main.ts`, '../../../alerts/index.ts'],
  ['the program imports nothing outside runtime', `${src}/drain/rules.ts`, '../../../lib/a.ts'],
  ['the library imports names and settings only', 'alerts/rule.ts', '../lib/a.ts'],
  ['the library imports names and settings only', 'constructs/labels.ts', '../test/docs/markdown.ts'],
  ['every file with imports has a room', `${src}/extra/a.ts`, '../names.ts'],
  ['the program is in .ts files', `${src}/rollout/journal.ts`, './notes.mts'],
  ['rollout must not import gates', `${src}/rollout/request.ts`, '../gates/gate.ts', dynamic],
  ['drain must not import gates', `${src}/drain/filter.ts`, '../gates/gate.ts', reexport],
  ['jobs must not import detect', `${src}/jobs/dist/a.ts`, '../../detect/choose.ts'],
];
const refused = check('wrong', [
  ...wrong.map(([, ...one]) => one),
  // Completes the circle of the case "no circular imports".
  [`${src}/drain/eviction.ts`, './drain.ts'],
]);

test.each(wrong)('%s: %s, importing %s', (rule, file) => {
  expect(refused.output).toContain(`error ${rule}: ${file} →`);
});

it('reports no other errors, and fails', () => {
  expect(refused.output.match(/^ +error .*$/gm)).toHaveLength(wrong.length);
  expect(refused.status).not.toBe(0);
});

it('allows imports downwards, of a named neighbour, inside a room, and all imports of tests', () => {
  const { status, output } = check('right', [
    [`${src}/gates/quiet.ts`, '../drain/filter.ts'],
    [`${src}/gates/quiet.ts`, '../names.ts'],
    [`${src}/jobs/submit.ts`, '../rollout/request.ts'],
    [`${src}/upgrade/run.ts`, './stages/index.ts'],
    [`${src}/gates/quiet.test.ts`, '../upgrade/run.ts'],
    [`${src}/gates/quiet.test.ts`, '../testing/cluster.ts'],
    [`${src}/testing/cluster.ts`, '../../../test/lab/lab.ts'],
    ['constructs/egress.ts', `../${src}/settings/settings.ts`],
  ]);
  expect(output).toContain('no dependency violations found');
  expect(status).toBe(0);
});

it('finds no import() used as a type, which the rules do not see', () => {
  const folder = join(root, 'runtime/src');
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((file) =>
    file.endsWith('.ts'),
  );
  expect(files.length).toBeGreaterThan(100);
  const found = files.filter((file) =>
    /(?<!await )\bimport\(/.test(readFileSync(join(folder, file), 'utf8')),
  );
  expect(found).toEqual([]);
});
