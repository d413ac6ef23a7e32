import { afterEach, describe, expect, it } from 'vitest';
import { annotationKeys, objectNames } from '../../runtime/src/names.ts';
import type { RunEvent } from '../../runtime/src/report/events.ts';
import type { KubeObject } from '../lab/api/types.ts';
import { labNodes } from '../lab/cluster.ts';
import type { AnyLab } from '../lab/lab.ts';
import { during } from '../lab/waits.ts';
import { cluster, cordonChanges, runningPod, slackEnds } from './observe.ts';
import { atLeast, startLab } from './start-lab.ts';

/**
 * Whole upgrades past a PodDisruptionBudget that never allows an eviction (F17), under the deployed roles.
 */

const keys = annotationKeys('viktorbarzin.me');
const inputs = JSON.stringify({ target_version: '1.34.5', kind: 'patch' });
const executor = `system:serviceaccount:${objectNames.namespace}:${objectNames.executorServiceAccount}`;

let lab: AnyLab;
afterEach(() => lab.stop());

/** One replica that must always be there. */
const ledger = (name: string): KubeObject[] => {
  const labels = { app: name };
  const container = { name, image: 'registry.invalid/ledger:1' };
  return [
    {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name, namespace: 'apps' },
      spec: {
        replicas: 1,
        selector: { matchLabels: labels },
        template: { metadata: { labels }, spec: { containers: [container] } },
      },
    },
    {
      apiVersion: 'policy/v1',
      kind: 'PodDisruptionBudget',
      metadata: { name: `${name}-always`, namespace: 'apps' },
      spec: { minAvailable: 1, selector: { matchLabels: labels } },
    },
  ] as KubeObject[];
};

async function start(blockedPods: object[], ...names: string[]): Promise<void> {
  lab = await startLab({
    nodes: labNodes.slice(0, 3),
    settings: (base) =>
      ({
        ...base,
        drain: { ...base.drain, timeout: atLeast('30s', base.drain?.timeout), blockedPods },
      }) as typeof base,
  });
  await lab.api.apply(names.flatMap(ledger));
  await lab.api.settled();
}

const rule = { disruptionBudgets: ['apps/ledger-always'], wait: '1s', deleteAfter: '1s' };
/** Of pods by the executor, dry-runs too. */
const deletions = async () =>
  (await lab.api.requestLog()).filter(
    ({ resource, subresource, verb, user }) =>
      resource === 'pods' && subresource === '' && verb === 'delete' && user === executor,
  );
const podsDeleted = async () => (await deletions()).filter(({ dryRun }) => !dryRun);
const texts = () => lab.slack.messages.map(({ text }) => text);
const expectFinished = async () => {
  const { nodes, namespace } = await cluster(lab);
  expect(nodes.map((n) => [n.release, n.unschedulable])).toEqual(nodes.map(() => ['1.34.5', false]));
  expect(namespace[keys.inFlight]).toBeUndefined();
  expect(slackEnds(lab, 'done')).toHaveLength(1);
};

describe('F17: a budget that never allows an eviction', () => {
  it('is passed for the pods that the settings name, which the plan and Slack say before the first cordon', async () => {
    await start([rule], 'ledger');
    const planned = await lab.cli(['plan', '--target-version', '1.34.5', '--kind', 'patch']);
    expect(planned.stdout).toMatch(
      /pod apps\/ledger-\S+, held by PodDisruptionBudget apps\/ledger-always .*: deleted when still refused after 2\.0s \(drain\.blockedPods\.0\)/,
    );
    expect(planned.exitCode, planned.stdout).toBe(0);
    expect(await podsDeleted()).toEqual([]);

    let announced: number | undefined;
    lab.api.view.subscribe(({ resource, object }) => {
      if (resource !== 'nodes' || !(object.spec as { unschedulable?: boolean })?.unschedulable) return;
      announced ??= texts().filter((text) => text.includes('will be deleted if')).length;
    });
    const { exitCode, output } = await lab.submit(inputs);
    expect(exitCode, output).toBe(0);
    await lab.api.caughtUp();
    expect(announced).toBe(1);
    const deleted = await podsDeleted();
    expect(deleted.length).toBeGreaterThan(0);
    for (const { namespace, name, allowedBy, status } of deleted) {
      expect([namespace, name.startsWith('ledger-'), status]).toEqual(['apps', true, 200]);
      expect(allowedBy).toMatchObject({ role: 'Role', namespace: 'apps' });
    }
    const pod = deleted[0]?.name;
    const about = texts().filter((text) => text.includes(`apps/${pod}`));
    const order = ['will be deleted if', 'because drain.blockedPods.0 names it', `deleting apps/${pod}`];
    const positions = order.map((text) => about.findIndex((one) => one.includes(text)));
    expect(positions).toEqual([...positions].sort((a, b) => a - b));
    expect(positions[0]).toBe(0);
    expect((await lab.api.requestLog()).filter((r) => r.status === 403 && r.user === executor)).toEqual([]);
    await expectFinished();
  });

  it('stops preflight for a pod that they do not name, with nothing changed', async () => {
    await start([rule], 'ledger', 'diary');
    const { exitCode } = await lab.submit(inputs);
    expect(exitCode).toBe(3);
    const last = texts().at(-1) ?? '';
    expect(last).toMatch(
      /apps\/diary-\S+ on k8s-\S+: PodDisruptionBudget apps\/diary-always .* never allows/,
    );
    expect(last).not.toContain('apps/ledger');
    expect(await cordonChanges(lab)).toEqual([]);
    expect(await podsDeleted()).toEqual([]);
  });

  it('killed while it waits, the next process waits again, and deletes no more than is named', async () => {
    await start([{ ...rule, deleteAfter: '3s' }], 'ledger');
    const announcement = new Promise<void>((resolve) => {
      lab.events.on('run-event', (event: RunEvent) => {
        if (event.type === 'notice' && event.text.includes('it will be deleted')) resolve();
      });
    });
    const running = lab.submit(inputs);
    await during(running, announcement);
    const { metadata } = await runningPod(lab);
    const killed = Date.now();
    expect(lab.api.killPod(metadata.name)).toBe(true);
    expect((await running).exitCode).toBe(0);
    const deleted = await podsDeleted();
    const [first] = deleted;
    expect(Number(first?.time) - killed).toBeGreaterThanOrEqual(4_000);
    expect(texts().filter((text) => text.includes('will be deleted if')).length).toBeGreaterThan(1);
    expect(new Set(deleted.map((one) => one.name.replace(/-.*/, '')))).toEqual(new Set(['ledger']));
    await expectFinished();
  });

  it('is said, and nothing is done, in a dry-run', async () => {
    await start([rule], 'ledger');
    const { exitCode } = await lab.submit(JSON.stringify({ ...JSON.parse(inputs), dry_run: true }));
    expect(exitCode).toBe(0);
    expect(texts().some((text) => text.startsWith('[dry-run] ') && text.includes('will be deleted if'))).toBe(
      true,
    );
    const tried = await deletions();
    expect(tried.length).toBeGreaterThan(1);
    expect(tried.every((one) => one.dryRun && one.status === 200)).toBe(true);
    expect(await cordonChanges(lab)).toEqual([]);
  });
});
