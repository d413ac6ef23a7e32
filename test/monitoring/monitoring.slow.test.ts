import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { parse, stringify } from 'yaml';
import { annotationKeys, ruleGroups } from '../../runtime/src/names.ts';
import { labNodes } from '../lab/cluster.ts';
import { type CliResult, Lab } from '../lab/lab.ts';
import { during } from '../lab/waits.ts';
import { drained } from '../scenarios/observe.ts';
import { LabExporter } from './lab-exporter.ts';
import { Monitoring, missingPrograms } from './monitoring.ts';
import { compressedRules, watchdog } from './rules.ts';

const { soaking: soakingKey } = annotationKeys('viktorbarzin.me');

const missing = missingPrograms();
if (missing.length > 0) console.log(`tests with real monitoring are skipped: missing ${missing.join(', ')}`);
const it = test.skipIf(missing.length > 0);

let monitoring: Monitoring;
let lab: Lab;
let cluster: LabExporter;

/** Reads a value until it equals the expected one; fails with the last value. */
async function eventually<T>(read: () => Promise<T>, expected: T, seconds = 30): Promise<void> {
  const deadline = Date.now() + seconds * 1000;
  for (let answer = await read(); ; answer = await read()) {
    if (JSON.stringify(answer) === JSON.stringify(expected)) return;
    if (Date.now() > deadline) return expect(answer).toEqual(expected);
    await sleep(100);
  }
}

const isFiring = (alert: string) => async () => (await monitoring.firing()).includes(alert);
const isNotified = (alert: string) => async () => (await monitoring.notifications()).includes(alert);

/** Reads the first value of a query in Prometheus. */
const value = (query: string) => async () => (await monitoring.query(query))[0]?.value;

const ignored = /^Watchdog$/;

/** Resolves when no alert is pending or firing: all nodes at one version, no recent restarts. */
const quiet = () => eventually(() => monitoring.keepsKuredFrom({ ignored }), [], 40);

const targets = () => ({ cluster: new URL(cluster.url).host, nodes: [...lab.nodes.keys()] });

const detect = async () => (await lab.cli(['detect', '--dry-run'])).exitCode;

const run = ['run', '--inputs', '{"target_version":"1.34.5","kind":"patch"}'];

/** Runs an upgrade. @param soak replaces the lab's very short soak */
async function upgrade(soak?: string): Promise<CliResult> {
  if (soak === undefined) return lab.cli(run);
  const settings = parse(await readFile(lab.settingsFile, 'utf8'));
  const file = join(lab.dir, `soak-${soak}.yaml`);
  await writeFile(file, stringify({ ...settings, timing: { ...settings.timing, soak } }));
  return lab.cli([...run, '--settings', file]);
}

beforeEach(async () => {
  monitoring = await Monitoring.start();
  lab = await Lab.start({
    nodes: labNodes.slice(0, 3),
    settings: (base) => ({
      ...base,
      prometheus: { url: monitoring.prometheusUrl },
      pushgateway: { url: monitoring.pushgatewayUrl },
      gates: { ...base.gates, alertWait: '20s' },
    }),
  });
  cluster = await new LabExporter(lab.api).start();
  await monitoring.watch([...compressedRules(), watchdog], targets());
  expect(await detect()).toBe(0);
});

afterEach(async () => {
  await Promise.all([lab?.stop(), cluster?.stop()]);
  await monitoring?.stop();
});

it('alerts that a rollout itself causes do not stop it; kured is blocked until the rollout has finished', async () => {
  await quiet();
  const blocking = new Set<string>();
  // Long enough for every rule about an unfinished rollout to fire.
  const running = upgrade('2s');
  const watching = (async () => {
    for (let over = false; !over; ) {
      over = (await Promise.race([running, sleep(100)])) !== undefined;
      for (const alert of await monitoring.keepsKuredFrom({ ignored, firingOnly: true })) blocking.add(alert);
    }
  })();
  const { exitCode, stdout } = await running;
  await watching;
  expect(exitCode, stdout).toBe(0);
  expect([...blocking].sort()).toEqual(['K8sVersionSkew', 'RecentNodeReboot']);
  await quiet();
  expect(await monitoring.keepsKuredFrom()).toEqual(['Watchdog']);
  expect(await monitoring.query('k8s_upgrade_in_flight')).toMatchObject([{ value: 0 }]);
  expect(await monitoring.query('k8s_upgrade_last_run_outcome == 1')).toMatchObject([
    { metric: { outcome: 'done' } },
  ]);
});

it('an alert of a gate stops the run before the second worker; the next run finishes once it has cleared', async () => {
  await quiet();
  const soaking = new Promise<void>((resolve) => {
    lab.api.store.subscribe(({ resource, object }) => {
      const { name, annotations } = object.metadata;
      if (resource === 'nodes' && name === 'k8s-node2' && annotations?.[soakingKey]) resolve();
    });
  });
  // Only a closed gate can end this soak within the test.
  const first = upgrade('5m');
  await during(first, soaking);
  cluster.pendingClaims.add('default/data-db-0');
  const stopped = await first;
  expect(stopped.exitCode, stopped.stdout).toBe(3);
  expect(lab.slack.messages.at(-1)?.text).toContain('PVCStuckPending');
  expect(await drained(lab)).toEqual(['k8s-master', 'k8s-node2']);
  await eventually(isNotified('K8sUpgradeBlocked'), true);
  expect(await value('k8s_upgrade_in_flight')()).toBe(1);

  cluster.pendingClaims.clear();
  await eventually(isFiring('PVCStuckPending'), false);
  const second = await upgrade();
  expect(second.exitCode, second.stdout).toBe(0);
  await quiet();
  await eventually(isNotified('K8sUpgradeBlocked'), false);
});

it('a killed executor leaves in-flight annotations without a run, until the next run has finished', async () => {
  await quiet();
  const child = await lab.spawnCli(run);
  const closed = once(child, 'close');
  await during(closed, lab.node('k8s-master').started('kubeadm', 'upgrade', 'apply'));
  child.kill('SIGKILL');
  await closed;
  await eventually(isNotified('K8sUpgradeLatchWithoutRun'), true);
  const { exitCode, stdout } = await upgrade();
  expect(exitCode, stdout).toBe(0);
  await quiet();
  await eventually(isNotified('K8sUpgradeLatchWithoutRun'), false);
});

it('a missing-snapshot alert caused by a killed executor is ended by the next run', async () => {
  await quiet();
  lab.node('k8s-master').faults.set('etcd-slow', { seconds: 15 });
  const child = await lab.spawnCli(run);
  const closed = once(child, 'close');
  await during(closed, eventually(isFiring('EtcdPreUpgradeSnapshotMissing'), true));
  child.kill('SIGKILL');
  await closed;
  lab.node('k8s-master').faults.clear('etcd-slow');
  // Wait until its lease has expired.
  await sleep(4_000);
  expect(await monitoring.keepsKuredFrom({ ignored, firingOnly: true })).toContain(
    'EtcdPreUpgradeSnapshotMissing',
  );
  const { exitCode, stdout } = await upgrade();
  expect(exitCode, stdout).toBe(0);
  await quiet();
});

it('a failed detection is notified until one succeeds', async () => {
  await quiet();
  lab.packages.faults = { status: 503 };
  expect(await detect()).not.toBe(0);
  await eventually(isNotified('K8sVersionCheckFailed'), true);
  lab.packages.faults = {};
  expect(await detect()).toBe(0);
  await eventually(isNotified('K8sVersionCheckFailed'), false);
});

describe('a gate whose answer is unknown counts as closed (F31)', () => {
  it('when the rules are not loaded', async () => {
    await monitoring.watch([], targets());
    await eventually(() => monitoring.query('count(ALERTS)'), []);
    const { exitCode, stdout } = await upgrade();
    expect(exitCode, stdout).toBe(3);
    expect(lab.slack.messages.at(-1)?.text).toContain(`no rule group "${ruleGroups.gates}"`);
    expect(lab.cordons).toEqual([]);
  });

  it('when Prometheus is gone', async () => {
    await monitoring.stop();
    const { exitCode } = await upgrade();
    expect(exitCode).not.toBe(0);
    expect(lab.cordons).toEqual([]);
  });
});
