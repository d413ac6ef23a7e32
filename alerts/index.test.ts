import { spawnSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { alertNames, metrics, ruleGroups } from '../runtime/src/names.ts';
import type { AlertCase } from '../test/alerts/case.ts';
import { courseCases } from '../test/alerts/course-cases.ts';
import { gateCases } from '../test/alerts/gate-cases.ts';
import { pipelineCases } from '../test/alerts/pipeline-cases.ts';
import { alertGroups } from './index.ts';

const runbook = 'https://runbook.example/k8s-version-upgrade.md';
const groups = alertGroups({
  namespace: 'k8s-upgrade',
  runbook,
  stalledAfterSeconds: 3600,
  minimumPodReadyRatio: 0.9,
  workloads: [
    { alert: 'MysqlStandaloneDown', namespace: 'dbaas', kind: 'StatefulSet', name: 'mysql-standalone' },
    { alert: 'TraefikDown', namespace: 'ingress', kind: 'Deployment', name: 'traefik' },
  ],
  detection: true,
});
const rules = groups.flatMap((group) => group.rules);
const cases = [...gateCases, ...pipelineCases, ...courseCases];

describe('the rules', () => {
  it('are the gates, one more for each watched workload, and the alerts about the pipeline in a second group', () => {
    expect(groups.map((group) => [group.name, group.rules.map((rule) => rule.alert).sort()])).toEqual([
      [
        ruleGroups.gates,
        [
          'ClusterPodReadyRatioDropped',
          'EtcdPreUpgradeSnapshotMissing',
          'K8sVersionSkew',
          'KubeAPIServerDown',
          'KubeQuotaAlmostFull',
          'KubeStateMetricsDown',
          'MysqlStandaloneDown',
          'NodeDiskPressure',
          'NodeMemoryPressure',
          'PVCStuckPending',
          'PrometheusRuleEvaluationFailing',
          'RecentNodeReboot',
          'TraefikDown',
        ],
      ],
      [
        ruleGroups.pipeline,
        [
          'K8sUpgradeBlocked',
          'K8sUpgradeCrashed',
          'K8sUpgradeFailed',
          'K8sUpgradeLatchWithoutRun',
          'K8sUpgradePodPending',
          'K8sUpgradeStalled',
          'K8sUpgradeUnreported',
          'K8sVersionCheckFailed',
          'K8sVersionCheckStale',
          'K8sVersionSkewUnknown',
        ],
      ],
    ]);
  });

  it('have the alert names that the runtime refers to', () => {
    const gates = groups[0]?.rules.map((rule) => rule.alert);
    expect(gates).toEqual(expect.arrayContaining(Object.values(alertNames)));
  });

  it.each(rules)('$alert has a severity, a summary, a description and a section of the runbook', (rule) => {
    expect(['critical', 'warning']).toContain(rule.labels.severity);
    expect(rule.annotations.summary).toMatch(/\.$/);
    expect(rule.annotations.description.length).toBeGreaterThan(20);
    expect(rule.annotations.runbook_url).toBe(`${runbook}#${rule.alert.toLowerCase()}`);
  });

  it.each(rules)('$alert reads only metrics of this pipeline that the runtime pushes', (rule) => {
    const read = rule.expr.match(/\bk8s_(upgrade|version_check)_\w+/g) ?? [];
    const pushed = Object.values(metrics).map((metric) => metric.name as string);
    expect(read.filter((name) => !pushed.includes(name))).toEqual([]);
  });

  it.each(rules)('$alert has a case in which it fires and one in which it does not', ({ alert }) => {
    const own = cases.filter((c) => c.alert === alert);
    expect(own.filter((c) => c.fires.length > 0).length, 'cases in which it fires').toBeGreaterThan(0);
    expect(own.filter((c) => c.fires.length === 0).length, 'near misses').toBeGreaterThan(0);
  });
});

const hasPromtool = spawnSync('promtool', ['--version']).status === 0;
if (!hasPromtool)
  console.log(
    'alerts/index.test.ts: promtool is missing (Debian package prometheus), rules are not evaluated',
  );

describe.skipIf(!hasPromtool)('in Prometheus', () => {
  let directory = '';
  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), 'alerts-'));
    for (const { annotations: _, ...rule } of rules) {
      // Only firing and labels are compared, not the texts, so that a change of wording breaks no test.
      const alone = { groups: [{ name: rule.alert, rules: [rule] }] };
      writeFileSync(join(directory, ruleFile(rule.alert)), stringify(alone));
    }
  });
  afterAll(() => rmSync(directory, { recursive: true, force: true }));

  /** Runs promtool; `output` has stdout and stderr in order: verdicts are on one, reasons on the other. */
  function promtool(...args: string[]): { ok: boolean; output: string } {
    const file = join(directory, 'output');
    const output = openSync(file, 'w');
    const { status } = spawnSync('promtool', args, { cwd: directory, stdio: ['ignore', output, output] });
    closeSync(output);
    return { ok: status === 0, output: readFileSync(file, 'utf8') };
  }

  it('loads every rule', () => {
    writeFileSync(join(directory, 'rules.yml'), stringify({ groups }));
    const { ok, output } = promtool('check', 'rules', 'rules.yml');
    expect(output).toContain(`${rules.length} rules found`);
    expect(ok, output).toBe(true);
  });

  const numbered = cases.map((alertCase, index) => ({ ...alertCase, file: `${index}.yml` }));
  const verdicts = new Map<string, string>();
  beforeAll(() => {
    for (const { file, ...alertCase } of numbered) {
      writeFileSync(join(directory, file), stringify(asUnitTest(alertCase)));
    }
    // One process for all of them; it prints a verdict for each file.
    const { output } = promtool('test', 'rules', ...numbered.map((c) => c.file));
    for (const [, file = '', verdict = ''] of output.matchAll(verdictPattern))
      verdicts.set(file, verdict.trim());
  });

  it.each(numbered)('$alert: $title', ({ file }) => {
    expect(verdicts.get(file)).toBe('SUCCESS');
  });
});

/** `Unit Testing:  12.yml`, then `SUCCESS` or the expected and the actual alerts. */
const verdictPattern = /Unit Testing: +(\S+)\n([\s\S]*?)(?=Unit Testing:|$)/g;

const ruleFile = (alert: string): string => `${alert}.rule.yml`;

function asUnitTest({ alert, input, at, fires, interval = '1m' }: AlertCase) {
  const severity = rules.find((rule) => rule.alert === alert)?.labels.severity;
  return {
    rule_files: [ruleFile(alert)],
    evaluation_interval: interval,
    tests: [
      {
        interval,
        input_series: input,
        alert_rule_test: [
          {
            eval_time: at,
            alertname: alert,
            exp_alerts: fires.map((labels) => ({ exp_labels: { severity, ...labels } })),
          },
        ],
      },
    ],
  };
}
