/**
 * `node .ci/count.mjs`, in the root of the project: what the parts of `.ci/run` have reported, in five numbers.
 *
 * It reads `.cache/tests*.json`, which vitest writes, and `.cache/crash.json` of `make crash-test`.
 *
 * On stdout, in one line: how many tests passed, failed and were skipped, how many of these were skipped without a good
 * reason, and how many passed only at their second try. A file that is not a whole report counts as a test that failed.
 * On stderr, by name: every one of the last two kinds, and every such file.
 *
 * It needs Node.js and nothing else, so that the last line of `.ci/run` comes even when nothing could be installed.
 */
import { readdirSync, readFileSync } from 'node:fs';

const cache = '.cache';
const reportName = /^(tests.*|crash)\.json$/;
const sums = ['numPassedTests', 'numFailedTests', 'numPendingTests'];

/** Only Terraform's providers cannot be had everywhere; what else the test needs must be there. */
const missingProviders =
  /^test\/conformance\/terraform\/apply\.test\.ts: .* \(missing: the provider [^,)]+(, the provider [^,)]+)*\)/;

/** Undefined when the file is cut off or holds something else: a part can be killed while it writes. */
function readReport(file) {
  try {
    const report = JSON.parse(readFileSync(file, 'utf8'));
    return sums.every((key) => Number.isInteger(report[key])) ? report : undefined;
  } catch {
    return undefined;
  }
}

/** The tests of a report of vitest, each by its file and name, with `why` it failed first; `crash.json` has none. */
function testsOf({ testResults = [] }) {
  return testResults.flatMap(({ name, assertionResults }) =>
    assertionResults.map(({ status, fullName, failureMessages: [why] = [] }) => ({
      what: `${name.replace(`${process.cwd()}/`, '')}: ${fullName}`,
      status,
      why,
    })),
  );
}

const skippedWithoutReason = ({ status, what }) =>
  status !== 'passed' && status !== 'failed' && !missingProviders.test(what);

/** Vitest keeps the failure of the first try of a test that passed after it. */
const passedAfterFailure = ({ status, why }) => status === 'passed' && why !== undefined;

/** The tests, with the first line of their failure, and then the points of `make crash-test`. */
function secondTriesOf(reports, tests) {
  const points = reports.flatMap(({ secondTries = [] }) => secondTries);
  return [
    ...tests.filter(passedAfterFailure).map(({ what, why }) => `${what}: ${why.split('\n')[0]}`),
    ...points.map((point) => `make crash-test: ${point}`),
  ];
}

function main() {
  const files = readdirSync(cache)
    .filter((name) => reportName.test(name))
    .map((name) => ({ path: `${cache}/${name}`, report: readReport(`${cache}/${name}`) }));
  const broken = files.filter(({ report }) => report === undefined);
  const reports = files.map(({ report }) => report).filter((report) => report !== undefined);
  const tests = reports.flatMap(testsOf);
  const skipped = tests.filter(skippedWithoutReason);
  const again = secondTriesOf(reports, tests);

  for (const { path } of broken) console.error(`${path} is not a whole report`);
  for (const { what } of skipped) console.error(`skipped: ${what}`);
  for (const what of again) console.error(`passed at its second try: ${what}`);

  const [passed, failed, pending] = sums.map((key) => reports.reduce((sum, report) => sum + report[key], 0));
  // As text: where FORCE_COLOR is set, as CI services do, numbers would be printed in colour, which bash cannot add up.
  console.log([passed, failed + broken.length, pending, skipped.length, again.length].join(' '));
}

main();
