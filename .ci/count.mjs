/**
 * `node .ci/count.mjs`, in the root of the project: sums up the reports of the parts of `.ci/run`.
 *
 * It reads `.cache/tests*.json`, which vitest writes, and `.cache/crash.json` of `make crash-test`.
 *
 * Prints five numbers on one line of stdout: tests that passed, failed, were skipped, were skipped without a
 * good reason, and passed only on their second try. A file that is not a complete report counts as a failed
 * test. Names on stderr the tests of the last two kinds, and each incomplete file.
 *
 * It needs only Node.js, so that `.ci/run` can print its last line even when nothing could be installed.
 */
import { readdirSync, readFileSync } from 'node:fs';

const cache = '.cache';
const reportName = /^(tests.*|crash)\.json$/;
const sums = ['numPassedTests', 'numFailedTests', 'numPendingTests'];

/**
 * The only good reason: Terraform's providers are not available everywhere. Everything else can be installed.
 */
const missingProviders =
  /^test\/conformance\/terraform\/apply\.test\.ts: .* \(missing: the provider [^,)]+(, the provider [^,)]+)*\)/;

/** Undefined when the file is no complete report, as when a part was killed while it wrote the file. */
function readReport(file) {
  try {
    const report = JSON.parse(readFileSync(file, 'utf8'));
    return sums.every((key) => Number.isInteger(report[key])) ? report : undefined;
  } catch {
    return undefined;
  }
}

/** The tests of a vitest report, by file and name, with their first failure. `crash.json` has none. */
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

/** Vitest keeps the failure of the first try when a test passes on the second. */
const passedAfterFailure = ({ status, why }) => status === 'passed' && why !== undefined;

/** The tests and the points of `make crash-test` that needed a second try, with the failure of the first. */
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

  for (const { path } of broken) console.error(`${path} is not a complete report`);
  for (const { what } of skipped) console.error(`skipped: ${what}`);
  for (const what of again) console.error(`passed on its second try: ${what}`);

  const [passed, failed, pending] = sums.map((key) => reports.reduce((sum, report) => sum + report[key], 0));
  // As text: FORCE_COLOR, which CI services set, would print numbers in colour, which bash cannot parse.
  console.log([passed, failed + broken.length, pending, skipped.length, again.length].join(' '));
}

main();
