import { readFileSync } from 'node:fs';
import { join, sep } from 'node:path';
import { parts } from '../lab/crash/round.ts';

/** The figures in docs/testing.md. */
export interface Counted {
  /** Points of a round of `make crash-test`, by part. */
  readonly crash: Readonly<Record<string, number>>;
  /** Points at which the node scripts were killed. */
  readonly nodeScripts: number;
  /** Tests in `test/scenarios/`. */
  readonly scenarios: number;
  /** Failed points; undefined when they were only counted, without a complete run. */
  readonly failed: number | undefined;
}

type PartName = keyof typeof parts;

export const rowLabels = {
  nodeScripts: 'node scripts killed at one of their calls (`make test-slow`)',
  scenarios: 'courses of events, refusals and gates in the whole program (`test/scenarios/`)',
} as const;

const markers = { begin: '<!-- figures: `make figures` writes them -->', end: '<!-- /figures -->' } as const;

/** The part of docs/testing.md that is counted and not written. */
export function render({ crash, nodeScripts, scenarios, failed }: Counted): string {
  const rows: [label: string, points: number][] = [
    ...(Object.keys(parts) as PartName[]).map((part): [string, number] => [parts[part], crash[part] ?? 0]),
    [rowLabels.nodeScripts, nodeScripts],
    [rowLabels.scenarios, scenarios],
  ];
  const all = rows.reduce((sum, [, points]) => sum + points, 0);
  return [
    markers.begin,
    '| Played | Points |',
    '|---|---|',
    ...rows.map(([label, points]) => `| ${label} | ${points} |`),
    '',
    failed === undefined
      ? `These ${all} were counted, and not played as a whole since the last of them was added.`
      : `Of these ${all}, ${all - failed} passed and ${failed} failed when they were last played as a whole.`,
    markers.end,
  ].join('\n');
}

/** The generated part of a document. @throws Error when there is none */
export function figuresOf(document: string): string {
  const [begin, end] = [document.indexOf(markers.begin), document.indexOf(markers.end)];
  if (begin < 0 || end < begin) throw new Error(`no ${markers.begin} … ${markers.end}`);
  return document.slice(begin, end + markers.end.length);
}

interface TestReport {
  readonly testResults: readonly {
    readonly name: string;
    readonly assertionResults: readonly { readonly status: string }[];
  }[];
}

/**
 * Reads the figures from the reports of the last complete run in `.cache`.
 *
 * @throws Error naming the make target to run first
 */
export function readCounted(cache: string): Counted {
  const crash = readReport<{ parts: Record<string, number>; numFailedTests: number }>(cache, 'crash.json');
  const { all } = readReport<{ all: number }>(cache, 'interrupted.json');
  const reports = ['tests.json', 'tests-slow.json'].map((file) => readReport<TestReport>(cache, file));
  const results = reports.flatMap(({ testResults }) => testResults);
  const of = (folder: string) =>
    results
      .filter(({ name }) => name.includes(join(sep, 'test', folder, sep)))
      .flatMap(({ assertionResults }) => assertionResults);
  const scenarios = of('scenarios');
  const failedTests = [...scenarios, ...of('node-scripts/interrupted')].filter(
    ({ status }) => status !== 'passed',
  );
  return {
    crash: crash.parts,
    nodeScripts: all,
    scenarios: scenarios.length,
    failed: crash.numFailedTests + failedTests.length,
  };
}

const makeTargets: Readonly<Record<string, string>> = {
  'crash.json': 'crash-test',
  'interrupted.json': 'test-slow',
  'tests.json': 'test',
  'tests-slow.json': 'test-slow',
};

function readReport<T>(cache: string, file: string): T {
  try {
    return JSON.parse(readFileSync(join(cache, file), 'utf8'));
  } catch {
    throw new Error(`.cache/${file} is not there: run make ${makeTargets[file]} first`);
  }
}
