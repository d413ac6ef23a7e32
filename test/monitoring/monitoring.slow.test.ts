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
import { ClusterExporter } from './cluster-exporter.ts';
import { Monitoring, missingPrograms } from './monitoring.ts';
import { compressedRules, watchdog } from './rules.ts';

const { soaking: soakingKey } = annotationKeys('viktorbarzin.me');

const missing = missingPrograms();
if (missing.length > 0) console.log(`real monitoring is skipped: there is no ${missing.join(', no ')}`);
const it = test.skipIf(missing.length > 0);

let monitoring: Monitoring;
let lab: Lab;
let cluster: ClusterExporter;

/** Asks until the answer is as expected; fails with the last one. */
async function eventually<T>(ask: () => Promise<T>, expected: T, seconds = 30): Promise<void> {
  const deadline = Date.now() + seconds * 1000;
  for (let answer = await ask(); ; answer = await ask()) {
    if (JSON.stringify(answer) === JSON.stringify(expected)) return;
    if (Date.now() > deadline) return expect(answer).toEqual(expected);
    await sleep(100);
  }
}

const isFiring = (alert: string) => async () => (await monitoring.firing()).includes(alert);
const isNotified = (alert: string) => async () => (await monitoring.notifications()).includes(alert);

/** One number that was pushed, as Prometheus has it. */
const value = (query: string) => async () => (await monitoring.query(query))[0]?.value;

const ignored = /^Watchdog$/;

/** Every node is at one version, nothing was restarted lately, and nobody is to be told of anything, nor soon. */
const quiet = () => eventually(() => monitoring.keepsKuredFrom({ ignored }), [], 40);

const targets = () => ({ cluster: new URL(cluster.url).host, nodes: [...lab.nodes.keys()] });

const detect = async () => (await lab.cli(['detect', '--dry-run'])).exitCode;

const run = ['run', '--inputs', '{"target_version":"1.34.5","kind":"patch"}'];

/** @param soak instead of the lab's moment. */
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
  cluster = await new ClusterExporter(lab.api).start();
  await monitoring.watch([...compressedRules(), watchdog], targets());
  expect(await detect()).toBe(0);
});

afterEach(async () => {
  await Promise.all([lab?.stop(), cluster?.stop()]);
  await monitoring?.stop();
});

it('a rollout: its own marks fire and do not stop it; kured waits, and is free when all is over', async () => {
  await quiet();
  const inTheWay = new Set<string>();
  // Long enough for every rule on what a rollout leaves half way.
  const running = upgrade('2s');
  const watching = (async () => {
    for (let over = false; !over; ) {
      over = (await Promise.race([running, sleep(100)])) !== undefined;
      for (const alert of await monitoring.keepsKuredFrom({ ignored, firingOnly: true })) inTheWay.add(alert);
    }
  })();
  const { exitCode, stdout } = await running;
  await watching;
  expect(exitCode, stdout).toBe(0);
  expect([...inTheWay].sort()).toEqual(['K8sVersionSkew', 'RecentNodeReboot']);
  await quiet();
  expect(await monitoring.keepsKuredFrom()).toEqual(['Watchdog']);
  expect(await monitoring.query('k8s_upgrade_in_flight')).toMatchObject([{ value: 0 }]);
  expect(await monitoring.query('k8s_upgrade_last_run_outcome == 1')).toMatchObject([
    { metric: { outcome: 'done' } },
  ]);
});

it('a gate fires before the second worker: the run stops by its name, and finishes when it has cleared', async () => {
  await quiet();
  const soaking = new Promise<void>((resolve) => {
    lab.api.store.subscribe(({ resource, object }) => {
      const { name, annotations } = object.metadata;
      if (resource === 'nodes' && name === 'k8s-node2' && annotations?.[soakingKey]) resolve();
    });
  });
  // Nothing but a gate that closes ends this soak within the test.
  const first = upgrade('5m');
  await during(first, soaking);
  cluster.pendingClaims.add('default/data-db-0');
  const stopped = await first;
  expect(stopped.exitCode, stopped.stdout).toBe(3);
  expect(lab.slack.messages.at(-1)?.text).toContain('PVCStuckPending');
  expect(drained(lab)).toEqual(['k8s-master', 'k8s-node2']);
  await eventually(isNotified('K8sUpgradeBlocked'), true);
  expect(await value('k8s_upgrade_in_flight')()).toBe(1);

  cluster.pendingClaims.clear();
  await eventually(isFiring('PVCStuckPending'), false);
  const second = await upgrade();
  expect(second.exitCode, second.stdout).toBe(0);
  await quiet();
  await eventually(isNotified('K8sUpgradeBlocked'), false);
});

it('an executor that dies leaves a latch without a run, until the next one is through', async () => {
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

it('an executor that dies before its snapshot: its own push fires a gate’s alert, and that of the next run ends it', async () => {
  await quiet();
  lab.node('k8s-master').faults.set('etcd-slow', { seconds: 15 });
  const child = await lab.spawnCli(run);
  const closed = once(child, 'close');
  await during(closed, eventually(isFiring('EtcdPreUpgradeSnapshotMissing'), true));
  child.kill('SIGKILL');
  await closed;
  lab.node('k8s-master').faults.clear('etcd-slow');
  // Its lease runs out.
  await sleep(4_000);
  expect(await monitoring.keepsKuredFrom({ ignored, firingOnly: true })).toContain(
    'EtcdPreUpgradeSnapshotMissing',
  );
  const { exitCode, stdout } = await upgrade();
  expect(exitCode, stdout).toBe(0);
  await quiet();
});

it('a detection that fails is told of until one succeeds', async () => {
  await quiet();
  lab.packages.faults = { status: 503 };
  expect(await detect()).not.toBe(0);
  await eventually(isNotified('K8sVersionCheckFailed'), true);
  lab.packages.faults = {};
  expect(await detect()).toBe(0);
  await eventually(isNotified('K8sVersionCheckFailed'), false);
});

describe('unknown is closed (F31)', () => {
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
