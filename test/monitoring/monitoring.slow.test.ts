import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { annotationKeys, ruleGroups } from '../../runtime/src/names.ts';
import { labNodes } from '../lab/cluster.ts';
import { Lab } from '../lab/lab.ts';
import { ClusterExporter } from './cluster-exporter.ts';
import { Monitoring } from './monitoring.ts';
import { compressedRules } from './rules.ts';

const { soaking: soakingKey } = annotationKeys('viktorbarzin.me');

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
const isTold = (alert: string) => async () => (await monitoring.told()).includes(alert);

/** One number that was pushed, as Prometheus has it. */
const value = (query: string) => async () => (await monitoring.query(query))[0]?.value;

/** Every node is at one version, nothing was restarted lately, and nobody is to be told of anything. */
const quiet = () => eventually(monitoring.firing.bind(monitoring), [], 40);

const targets = () => ({ cluster: new URL(cluster.url).host, nodes: [...lab.nodes.keys()] });

const detect = async () => (await lab.cli(['detect', '--dry-run'])).exitCode;

const upgrade = () => lab.cli(['run', '--inputs', '{"target_version":"1.34.5","kind":"patch"}']);

beforeEach(async () => {
  monitoring = await Monitoring.start();
  lab = await Lab.start({
    nodes: labNodes.slice(0, 3),
    settings: (base) => ({
      ...base,
      prometheus: { url: monitoring.prometheusUrl },
      pushgateway: { url: monitoring.pushgatewayUrl },
      gates: { ...base.gates, alertWait: '3s' },
    }),
  });
  cluster = await new ClusterExporter(lab.api).start();
  await monitoring.watch(compressedRules(), targets());
  expect(await detect()).toBe(0);
});

afterEach(async () => {
  await Promise.all([lab?.stop(), cluster?.stop()]);
  await monitoring?.stop();
});

it('a rollout: its own marks fire and do not stop it; kured waits, and is free when all is over', async () => {
  await quiet();
  expect(await monitoring.keepsKuredFrom()).toEqual([]);
  const inTheWay = new Set<string>();
  const running = upgrade();
  const watching = (async () => {
    for (let over = false; !over; ) {
      over = (await Promise.race([running, sleep(100)])) !== undefined;
      for (const alert of await monitoring.keepsKuredFrom()) inTheWay.add(alert);
    }
  })();
  const { exitCode, stdout } = await running;
  await watching;
  expect(exitCode, stdout).toBe(0);
  expect([...inTheWay].sort()).toEqual(['K8sVersionSkew', 'RecentNodeReboot']);
  await quiet();
  expect(await monitoring.keepsKuredFrom()).toEqual([]);
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
  const first = upgrade();
  // A run that ends before is told of by its exit code, not by waiting for ever.
  await Promise.race([soaking, first]);
  cluster.pendingClaims.add('default/data-db-0');
  const stopped = await first;
  expect(stopped.exitCode, stopped.stdout).toBe(3);
  expect(lab.slack.messages.at(-1)?.text).toContain('PVCStuckPending');
  await eventually(isTold('K8sUpgradeBlocked'), true);
  expect(await value('k8s_upgrade_in_flight')()).toBe(1);

  cluster.pendingClaims.clear();
  await eventually(isFiring('PVCStuckPending'), false);
  const second = await upgrade();
  expect(second.exitCode, second.stdout).toBe(0);
  await quiet();
  await eventually(isTold('K8sUpgradeBlocked'), false);
});

it('an executor that dies leaves a latch without a run, until the next one is through', async () => {
  await quiet();
  const child = await lab.spawnCli(['run', '--inputs', '{"target_version":"1.34.5","kind":"patch"}']);
  await lab.node('k8s-master').started('kubeadm', 'upgrade', 'apply');
  child.kill('SIGKILL');
  await once(child, 'close');
  await eventually(isTold('K8sUpgradeLatchWithoutRun'), true);
  const { exitCode, stdout } = await upgrade();
  expect(exitCode, stdout).toBe(0);
  await quiet();
  await eventually(isTold('K8sUpgradeLatchWithoutRun'), false);
});

it('a detection that fails is told of until one succeeds', async () => {
  await quiet();
  lab.packages.faults = { status: 503 };
  expect(await detect()).not.toBe(0);
  await eventually(isTold('K8sVersionCheckFailed'), true);
  lab.packages.faults = {};
  expect(await detect()).toBe(0);
  await eventually(isTold('K8sVersionCheckFailed'), false);
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
