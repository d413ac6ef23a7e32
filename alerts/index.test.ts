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
  it('are the twelve gates and one for every other workload, and the pipeline’s own in a group of their own', () => {
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

  it('carry the names that the runtime knows', () => {
    const gates = groups[0]?.rules.map((rule) => rule.alert);
    expect(gates).toEqual(expect.arrayContaining(Object.values(alertNames)));
  });

  it.each(rules)('$alert has severity, summary, description and its section of the runbook', (rule) => {
    expect(['critical', 'warning']).toContain(rule.labels.severity);
    expect(rule.annotations.summary).toMatch(/\.$/);
    expect(rule.annotations.description.length).toBeGreaterThan(20);
    expect(rule.annotations.runbook_url).toBe(`${runbook}#${rule.alert.toLowerCase()}`);
  });

  it.each(rules)('$alert reads no metric of this pipeline that nobody pushes', (rule) => {
    const read = rule.expr.match(/\bk8s_(upgrade|version_check)_\w+/g) ?? [];
    const pushed = Object.values(metrics).map((metric) => metric.name as string);
    expect(read.filter((name) => !pushed.includes(name))).toEqual([]);
  });

  it.each(rules)('$alert is shown to fire and to stay silent', ({ alert }) => {
    const own = cases.filter((c) => c.alert === alert);
    expect(own.filter((c) => c.fires.length > 0).length, 'cases in which it fires').toBeGreaterThan(0);
    expect(own.filter((c) => c.fires.length === 0).length, 'near misses').toBeGreaterThan(0);
  });
});

const hasPromtool = spawnSync('promtool', ['--version']).status === 0;
if (!hasPromtool)
  console.log('alerts/index.test.ts: no promtool (Debian package prometheus), the rules are not evaluated');

describe.skipIf(!hasPromtool)('in Prometheus', () => {
  let directory = '';
  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), 'alerts-'));
    for (const { annotations: _, ...rule } of rules) {
      // Firing and labels are compared; the prose is not, so that a better sentence breaks no test.
      const alone = { groups: [{ name: rule.alert, rules: [rule] }] };
      writeFileSync(join(directory, ruleFile(rule.alert)), stringify(alone));
    }
  });
  afterAll(() => rmSync(directory, { recursive: true, force: true }));

  /** Both streams as they come: the verdicts are on one, the reasons on the other. */
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

/** `Unit Testing:  12.yml`, then `SUCCESS` or what was expected and what came. */
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
