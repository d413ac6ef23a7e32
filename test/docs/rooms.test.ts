import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, normalize } from 'node:path';
import { afterAll, expect, it, test } from 'vitest';
import { root } from './markdown.ts';

/** File → what it imports, the path relative to the file. */
type Files = readonly (readonly [file: string, target: string])[];

const projects = mkdtempSync(join(tmpdir(), 'k8s-upgrade-rooms-'));
afterAll(() => rmSync(projects, { recursive: true, force: true }));

/** What the rule of the rooms says of files that hold nothing but these imports, each of a type. */
function check(name: string, imports: Files) {
  const project = join(projects, name);
  const files = new Map<string, string[]>();
  for (const [file, target] of imports) {
    files.set(file, [...(files.get(file) ?? []), target]);
    const other = normalize(join(dirname(file), target));
    files.set(other, files.get(other) ?? []);
  }
  for (const [file, targets] of files) {
    mkdirSync(dirname(join(project, file)), { recursive: true });
    const lines = targets.map((target, n) => `import type { T as T${n} } from '${target}';`);
    writeFileSync(join(project, file), [...lines, 'export type T = 1;', ''].join('\n'));
  }
  const folders = [...new Set([...files.keys()].map((file) => file.split('/')[0] ?? ''))];
  const words = ['--config', join(root, '.dependency-cruiser.mjs'), ...folders];
  const { status, stdout } = spawnSync(join(root, 'node_modules/.bin/depcruise'), words, {
    cwd: project,
    encoding: 'utf8',
  });
  return { status, said: stdout };
}

const src = 'runtime/src';

/** Each breaks one rule. */
const wrong: readonly (readonly [rule: string, file: string, target: string])[] = [
  ['gates must not import detect', `${src}/gates/quiet.ts`, '../detect/choose.ts'],
  ['gates must not import upgrade', `${src}/gates/compatibility/etcd.ts`, '../../upgrade/run.ts'],
  ['detect must not import upgrade', `${src}/detect/report.ts`, '../upgrade/run.ts'],
  ['rollout must not import jobs', `${src}/rollout/remaining.ts`, '../jobs/job.ts'],
  ['cluster must not import ssh', `${src}/cluster/nodes.ts`, '../ssh/session.ts'],
  ['settings must not import cluster', `${src}/settings/settings.ts`, '../cluster/pods.ts'],
  ['vocabulary must not import settings', `${src}/release.ts`, './settings/add-on-rule.ts'],
  ['no circle', `${src}/drain/drain.ts`, './eviction.ts'],
  ['every file has a room', `${src}/gates/alerts.ts`, '../common.ts'],
  ['what is deployed imports names and settings only', 'constructs/egress.ts', `../${src}/gates/index.ts`],
  ['the program imports nothing around it', `${src}/gates/gate.ts`, '../testing/cluster.ts'],
  ['the program imports nothing around it', `${src}/cli/main.ts`, '../../../alerts/index.ts'],
];
const refused = check('wrong', [
  ...wrong.map(([, file, target]): [string, string] => [file, target]),
  // The other half of the circle.
  [`${src}/drain/eviction.ts`, './drain.ts'],
]);

test.each(wrong)('%s: %s, importing %s', (rule, file) => {
  expect(refused.said).toContain(`error ${rule}: ${file} →`);
});

it('says nothing else of them, and fails', () => {
  expect(refused.said.match(/^ +error .*$/gm)).toHaveLength(wrong.length);
  expect(refused.status).not.toBe(0);
});

it('lets pass what goes downwards, beside to a room that is named, inside a room, and what tests import', () => {
  const { status, said } = check('right', [
    [`${src}/gates/quiet.ts`, '../drain/filter.ts'],
    [`${src}/gates/quiet.ts`, '../names.ts'],
    [`${src}/jobs/submit.ts`, '../rollout/request.ts'],
    [`${src}/upgrade/run.ts`, './stages/index.ts'],
    [`${src}/gates/quiet.test.ts`, '../upgrade/run.ts'],
    [`${src}/gates/quiet.test.ts`, '../testing/cluster.ts'],
    [`${src}/testing/cluster.ts`, '../../../test/lab/lab.ts'],
    ['constructs/egress.ts', `../${src}/settings/settings.ts`],
  ]);
  expect(said).toContain('no dependency violations found');
  expect(status).toBe(0);
});
