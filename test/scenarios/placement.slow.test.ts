import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { parseDuration } from '../../runtime/src/duration.ts';
import { annotationKeys, jobLabels, metrics, objectNames } from '../../runtime/src/names.ts';
import { labNodes } from '../lab/cluster.ts';
import type { AnyLab, LabOptions } from '../lab/lab.ts';
import { cluster, drained, jobsOfRuns } from './observe.ts';
import { startLab } from './start-lab.ts';

/**
 * Where a Job may run, and what becomes of one that nobody takes. That none runs on a node it drains every
 * lab asserts by itself.
 */

const keys = annotationKeys('viktorbarzin.me');
const patch = ['--target-version', '1.34.5', '--kind', 'patch'];
const inputs = JSON.stringify({ target_version: '1.34.5', kind: 'patch' });

let lab: AnyLab;
afterEach(() => lab.stop());
const start = async (options: LabOptions = {}) => {
  lab = await startLab({ nodes: labNodes.slice(0, 3), ...options });
};
const releases = async () => (await cluster(lab)).nodes.map(({ release }) => release);

describe('a Job that no node takes (F4)', () => {
  const label = 'example.com/upgrades';
  const onlyLabelled = async () =>
    lab.api.modify('cronjobs', objectNames.namespace, objectNames.executionCronJob, (cronJob) => {
      const pod = cronJob.spec?.jobTemplate?.spec?.template?.spec;
      if (pod) pod.nodeSelector = { [label]: 'here' };
    });
  const labelNode = async (name: string) =>
    lab.api.modify('nodes', undefined, name, (node) => {
      node.metadata.labels = { ...node.metadata.labels, [label]: 'here' };
    });

  it('is reported with the reason of the scheduler, changes nothing, and continues once a node accepts it', async () => {
    await start();
    await onlyLabelled();
    const began = Date.now();
    const { exitCode, output } = await lab.submit(inputs);
    expect(exitCode).toBe(3);
    expect(output).toMatch(/k8s-version-upgrade-1-\S+ is not scheduled/);
    expect(output).toContain("0/3 nodes are available: 3 node(s) didn't match Pod's node affinity/selector");
    // `timing.unschedulable` is 3 seconds here, and a pod's age is in whole seconds; the rest is what
    // programs take to start.
    expect(Date.now() - began).toBeGreaterThan(1_900);
    const unschedulable = parseDuration(lab.settings.timing?.unschedulable ?? '') ?? 0;
    expect(Date.now() - began).toBeLessThan(unschedulable + 12_000);
    expect(await drained(lab)).toEqual([]);
    expect((await cluster(lab)).namespace[keys.inFlight]).toBeUndefined();
    for (const { name } of labNodes.slice(0, 3)) await labelNode(name);
    const again = await lab.submit(inputs);
    expect(again.exitCode, again.output).toBe(0);
    expect(await releases()).toEqual(['1.34.5', '1.34.5', '1.34.5']);
    expect((await jobsOfRuns(lab)).map((job) => job.metadata.labels?.[jobLabels.number]).sort()).toEqual([
      '1',
      '2',
    ]);
  });

  it('removed as its message says, another one is submitted', async () => {
    await start();
    await onlyLabelled();
    const { output } = await lab.submit(inputs);
    const [, name = ''] = /delete job (\S+)\)/.exec(output) ?? [];
    expect((await jobsOfRuns(lab)).map((job) => job.metadata.name)).toEqual([name]);
    await lab.api.remove('jobs', objectNames.namespace, name);
    await labelNode('k8s-node1');
    await labelNode('k8s-master');
    const again = await lab.submit(inputs);
    expect(again.exitCode, again.output).toBe(0);
    expect(await releases()).toEqual(['1.34.5', '1.34.5', '1.34.5']);
  });
});

describe('a Job that no node takes and nobody follows (F4)', () => {
  const label = 'example.com/upgrades';
  /** Once Job 1 is there, no node takes another. */
  const onlyFirst = () => {
    const unsubscribe = lab.api.view.subscribe(({ resource, object }) => {
      if (resource !== 'jobs' || object.metadata.labels?.[jobLabels.number] !== '1') return;
      unsubscribe();
      void lab.api.modify('cronjobs', objectNames.namespace, objectNames.executionCronJob, (cronJob) => {
        const pod = cronJob.spec?.jobTemplate?.spec?.template?.spec;
        if (pod) pod.nodeSelector = { [label]: 'here' };
      });
    });
  };
  const labelNodes = async () => {
    for (const { name } of labNodes.slice(0, 3))
      await lab.api.modify('nodes', undefined, name, (node) => {
        node.metadata.labels = { ...node.metadata.labels, [label]: 'here' };
      });
  };

  it('is reported to Slack by the Job before it, and continues once a node accepts it', async () => {
    await start();
    onlyFirst();
    await lab.cli(['submit', '--no-follow', '--inputs', inputs], {
      user: { namespace: objectNames.namespace, serviceAccount: objectNames.submitterServiceAccount },
    });
    const reported = () =>
      lab.slack.messages.map(({ text }) => text).find((text) => text.includes('is not scheduled'));
    while (reported() === undefined) await sleep(100);
    expect(reported()).toMatch(/^:no_entry: .*: blocked: k8s-version-upgrade-2-\S+ is not scheduled/);
    expect(reported()).toContain("3 node(s) didn't match Pod's node affinity/selector");
    expect(lab.pushgateway.value(metrics.outcome.name, { outcome: 'blocked' })).toBe(1);
    await labelNodes();
    while ((await cluster(lab)).namespace[keys.inFlight] !== undefined) await sleep(100);
    await lab.api.settled();
    expect(await releases()).toEqual(['1.34.5', '1.34.5', '1.34.5']);
    expect(lab.pushgateway.value(metrics.outcome.name, { outcome: 'done' })).toBe(1);
  });

  it('is reported by the detector where the detector has created it', async () => {
    await start({ settings: (base) => ({ ...base, dispatch: { ...base.dispatch, mode: 'job' } }) });
    await lab.api.modify('cronjobs', objectNames.namespace, objectNames.executionCronJob, (cronJob) => {
      const pod = cronJob.spec?.jobTemplate?.spec?.template?.spec;
      if (pod) pod.nodeSelector = { [label]: 'here' };
    });
    expect(await lab.detect()).toBe(3);
    expect(lab.slack.messages.at(-1)?.text).toMatch(/k8s-version-upgrade-1-\S+ is not scheduled/);
    expect(lab.pushgateway.value(metrics.detectionOutcome.name, { outcome: 'blocked' })).toBe(1);
    expect(await lab.detect()).toBe(3);
    expect(lab.slack.messages.at(-1)?.text).toMatch(
      /not dispatched, k8s-version-upgrade-1-\S+ is not scheduled/,
    );
    expect(await jobsOfRuns(lab)).toHaveLength(1);
    await labelNodes();
    while ((await releases()).some((release) => release !== '1.34.5')) await sleep(100);
    expect(await lab.detect()).toBe(0);
  });
});

describe('a cluster of one node', () => {
  const startOne = async () => {
    await start({
      nodes: labNodes.slice(0, 1),
      settings: (base) => ({ ...base, nodes: {}, gates: { ...base.gates, alertWait: '20s' } }),
    });
    // Its pods have nowhere else to go.
    for (const { metadata } of await lab.api.list('poddisruptionbudgets'))
      await lab.api.remove('poddisruptionbudgets', metadata.namespace, metadata.name);
    await lab.api.modify('nodes', undefined, 'k8s-master', (node) => {
      delete node.spec?.taints;
    });
    await lab.api.settled();
  };

  it('in the cluster it is refused with the command that does it from outside', async () => {
    await startOne();
    const { exitCode, output } = await lab.submit(inputs);
    expect(exitCode).toBe(3);
    expect(output).toContain('no node can run the next Job');
    expect(output).toContain('k8s-master: the next Job drains it');
    expect(output).toMatch(
      /from outside the cluster: k8s-upgrade run --inputs '\{"target_version":"1\.34\.5"/,
    );
    expect(await jobsOfRuns(lab)).toEqual([]);
    expect(await drained(lab)).toEqual([]);
  });

  it('from outside it is upgraded', async () => {
    await startOne();
    const { exitCode, stdout } = await lab.cli(['run', ...patch]);
    expect(exitCode, stdout).toBe(0);
    expect(await releases()).toEqual(['1.34.5']);
    expect((await cluster(lab)).nodes.map(({ unschedulable }) => unschedulable)).toEqual([false]);
  });
});
