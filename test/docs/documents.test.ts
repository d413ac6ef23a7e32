import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { alertGroups } from '../../alerts/index.ts';
import { compatibilityGates } from '../../runtime/src/gates/compatibility/index.ts';
import { postflightGates, preflightGates, workerGates } from '../../runtime/src/gates/index.ts';
import { annotationKeys, metrics, objectNames, ruleGroups } from '../../runtime/src/names.ts';
import { stageNames, stageRows } from '../../runtime/src/rollout/stages.ts';
import { temporaryFile } from '../../runtime/src/testing/files.ts';
import { bundle } from '../lab/lab.ts';
import { agentPath, anchorsOf, bashBlocks, documents, readDocument, root, runbookPath } from './markdown.ts';

const runbook = readDocument(runbookPath);
const bundled = existsSync(bundle);
if (!bundled)
  console.log(`test/docs: commands and options are not looked up: missing ${bundle} (make bundle)`);

describe('the runbook', () => {
  const groups = alertGroups({
    namespace: 'k8s-upgrade',
    runbook: 'https://runbook.example',
    stalledAfterSeconds: 3600,
    minimumPodReadyRatio: 0.9,
    workloads: [
      { alert: 'MysqlStandaloneDown', namespace: 'dbaas', kind: 'StatefulSet', name: 'mysql-standalone' },
    ],
    detection: true,
  });

  it.each(groups.flatMap((group) => group.rules))('has the section that $alert links to', (rule) => {
    const [, anchor] = rule.annotations.runbook_url.split('#');
    expect(anchorsOf(runbook)).toContain(anchor);
  });

  it('clears every annotation that the runtime sets', () => {
    const { inFlight, target, kind, snapshotPath, dispatched, ...ofNodes } =
      annotationKeys('viktorbarzin.me');
    for (const key of [inFlight, target, kind, snapshotPath, dispatched, ...Object.values(ofNodes)]) {
      expect(runbook).toContain(`  ${key}-`);
    }
  });

  it('has most of its commands run by a test', () => {
    const blocks = bashBlocks(runbook);
    expect(blocks.filter(({ lab }) => lab !== undefined).length).toBeGreaterThan(blocks.length / 2);
  });

  it('halts upgrades with a rule that always fires, in the gating group', () => {
    const [values = ''] = /^serverFiles:\n[\s\S]*?(?=^```$)/m.exec(runbook) ?? [];
    const { groups } = parse(values).serverFiles['recording_rules.yml'];
    expect(groups).toMatchObject([{ name: ruleGroups.gates, rules: [{ expr: 'vector(1)' }] }]);
    const file = temporaryFile(JSON.stringify({ groups }));
    const { stdout, stderr, status } = spawnSync('promtool', ['check', 'rules', file], { encoding: 'utf8' });
    expect(status, stdout + stderr).toBe(0);
  });

  it('uses the real names of objects and metrics', () => {
    const known = [
      ...Object.values(objectNames),
      ...Object.values(metrics).map((metric) => metric.name),
    ] as string[];
    const used = runbook.match(/\bk8s_(upgrade|version_check)_[a-z_]*[a-z]\b/g) ?? [];
    expect(used.filter((name) => !known.includes(name))).toEqual([]);
    const objects = [...runbook.matchAll(/(?:cronjobs?|configmaps?|secrets?)[ /](k8s-[a-z-]+)/g)].map(
      ([, name]) => name,
    );
    expect(objects.length).toBeGreaterThan(5);
    expect(objects.filter((name) => !known.includes(name ?? ''))).toEqual([]);
  });
});

it('the table of stages in the architecture document matches the program', () => {
  const architecture = readDocument('docs/architecture/automated-upgrades.md');
  const [table = ''] = architecture.slice(architecture.indexOf('| Stage | Does |')).split('\n\n');
  const rows = stageRows.map(
    ({ name, summary, changesNodes, rolls = 'none' }) =>
      `| \`${name}\` | ${summary} | ${changesNodes ? 'yes' : 'no'} | ${rolls} |`,
  );
  expect(table.split('\n').slice(2)).toEqual(rows);
});

it.each([
  ['README.md', `\`${stageNames.join('`, `')}\``],
  [agentPath, stageNames.join(',')],
  ['docs/architecture/automated-upgrades.md', stageNames.join(' --> ')],
])('%s lists the stages in order', (path, list) => {
  expect(readDocument(path)).toContain(list);
});

it('the table of gates in the architecture document has every gate that is checked on every cluster', () => {
  const architecture = readDocument('docs/architecture/automated-upgrades.md');
  const table = architecture.slice(architecture.indexOf('| Gate | Checked |')).split('\n\n')[0] ?? '';
  const gates = [...preflightGates, ...workerGates, ...postflightGates].map(({ name }) => name);
  const ofMinor = compatibilityGates.map(({ name }) => name);
  for (const name of gates.filter((gate) => !ofMinor.includes(gate)))
    expect(table).toContain(`| \`${name}\` |`);
});

it.each([runbookPath, 'README.md', 'docs/install.md', 'CONTRIBUTING.md'])(
  '%s has every command run by a test, or states why not',
  (path) => {
    // `make` does its own set-up, and CI runs both commands.
    const blocks = bashBlocks(readDocument(path)).filter(({ text }) => !text.startsWith('make rehearse '));
    const unexplained = blocks.filter(({ lab, notRun }) => lab === undefined && notRun === undefined);
    expect(unexplained.map(({ section, text }) => `${section}: ${text}`)).toEqual([]);
  },
);

it('every document of the project is among those that these tests read', () => {
  const { stdout } = spawnSync('git', ['ls-files', '*.md'], { cwd: root, encoding: 'utf8' });
  const found = stdout.trimEnd().split('\n');
  expect([...documents, 'CHANGELOG.md'].sort()).toEqual(found.sort());
});

describe.each(documents)('%s', (path) => {
  const text = readDocument(path);

  it('has no broken links', () => {
    for (const [, target = ''] of text.matchAll(/\]\((?!https?:)([^)]+)\)/g)) {
      const [file = '', anchor] = target.split('#');
      const linked = file === '' ? path : join(dirname(path), file);
      expect(existsSync(join(root, linked)), target).toBe(true);
      if (anchor !== undefined) expect(anchorsOf(readDocument(linked)), target).toContain(anchor);
    }
  });

  it('names only files that exist in the project', () => {
    const places = /`((?:alerts|constructs|docs|runtime|scripts|test)\/[\w./-]*|main\.ts|CONTRIBUTING\.md)`/g;
    for (const [, file = ''] of text.matchAll(places)) expect(existsSync(join(root, file)), file).toBe(true);
  });

  it.skipIf(!bundled)('uses only commands and options that the program has', () => {
    const help = helpOf([]);
    for (const [, command = '', rest = ''] of text.matchAll(/^ *(?:\w+ )?k8s-upgrade ([a-z-]+)([^\n|]*)/gm)) {
      expect(help).toMatch(new RegExp(`^  ${command} `, 'm'));
      const own = helpOf([command]);
      for (const [option] of rest.matchAll(/--[a-z-]+/g))
        expect(own, `${command} ${option}`).toContain(option);
    }
  });
});

const helps = new Map<string, string>();

/** What `k8s-upgrade [COMMAND] --help` prints. */
function helpOf(command: string[]): string {
  const key = command.join(' ');
  const known = helps.get(key);
  if (known !== undefined) return known;
  const { stdout } = spawnSync(process.execPath, [bundle, ...command, '--help'], { encoding: 'utf8' });
  helps.set(key, stdout);
  return stdout;
}
