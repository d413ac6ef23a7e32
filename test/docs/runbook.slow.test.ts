import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { objectNames } from '../../runtime/src/names.ts';
import { parseSettings } from '../../runtime/src/settings/settings.ts';
import { Lab } from '../lab/lab.ts';
import { bashBlocks, readDocument, runbookPath } from './markdown.ts';
import { everywhere, Operator, ready, releases } from './operator.ts';

const blocks = bashBlocks(readDocument(runbookPath));
const [fetchSettings, ...shared] = blocks.filter(({ lab }) => lab === 'shared');
/** Each once, also where the runbook repeats it. */
const own = [
  ...new Map(blocks.filter(({ lab }) => lab === 'own').map((block) => [block.text, block])).values(),
];
/** A block that needs a certain state before it, or more checks after it than its exit code. */
interface Around {
  /** A part of the block's text, by which it is found. */
  readonly has: string;
  /** Returns the variables that a person would have set. */
  readonly before?: (operator: Operator) => Promise<Record<string, string>>;
  readonly after: (operator: Operator, output: string) => Promise<void> | void;
}

const snapshot = '/mnt/main/etcd-backup/k8s-upgrade-pre-1.34.5-1767528000.db';
const annotateSnapshot = 'kubectl annotate namespace k8s-upgrade viktorbarzin.me/k8s-upgrade-snapshot-path';
const knownHosts = `configmap ${objectNames.knownHosts}`;

const around: readonly Around[] = [
  {
    has: '$AGENT_SERVICE/execute',
    after: async ({ lab }) => {
      expect(lab.agentService.jobs).toHaveLength(1);
      expect(await lab.agentJobEnd(lab.agentService.jobs[0]?.id)).toBe(0);
    },
  },
  {
    has: '--target-version 1.35.3',
    before: async ({ lab }) => {
      lab.packages.publish('1.35.3');
      return {};
    },
    after: (_, output) => expect(output).toContain('removed-apis'),
  },
  {
    has: 'count by (instance)',
    after: ({ lab }, output) => expect(output).toContain(lab.prometheus.apiServers[0]),
  },
  { has: 'node-script kubelet_facts', after: (_, output) => expect(output).toContain('kubelet') },
  {
    has: 'k8s-upgrade-snapshot-path}',
    before: async (operator) => {
      await operator.types(`${annotateSnapshot}=${snapshot}`);
      return {};
    },
    after: async (operator, output) => {
      expect(output).toBe(snapshot);
      await operator.types(`${annotateSnapshot}-`);
    },
  },
  {
    has: `patch ${knownHosts}`,
    before: async (operator) => {
      await operator.types(
        `kubectl -n k8s-upgrade create ${knownHosts} --from-literal=k8s-node3=old --from-literal=k8s-node2=kept`,
      );
      return {};
    },
    after: async (operator) => {
      const data = await operator.types(`kubectl -n k8s-upgrade get ${knownHosts} -o jsonpath={.data}`);
      expect(JSON.parse(data)).toEqual({ 'k8s-node2': 'kept' });
    },
  },
  {
    has: 'job/$JOB',
    // A Job without inputs fails on bad input, which is what that alert is about.
    before: async (operator) => {
      const JOB = await operator.lab.createJobFrom(objectNames.executionCronJob);
      await operator.types(`kubectl -n k8s-upgrade wait --for=condition=failed --timeout=30s job/${JOB}`);
      return { JOB };
    },
    after: (_, output) => expect(output).toContain('--target-version'),
  },
];

/** Runs the commands of the runbook in order, in one cluster. */
describe.skipIf(!ready)('the runbook in the lab', () => {
  let lab: Lab;
  let operator: Operator;
  beforeAll(async () => {
    lab = await Lab.start();
    operator = await Operator.at(lab);
    // An earlier detection, so that there is something to inspect.
    await lab.cli(['detect', '--dry-run']);
  });
  afterAll(() => lab?.stop());

  it('fetches the settings of the pipeline', async () => {
    const file = join(lab.dir, 'fetched.yaml');
    await operator.types(fetchSettings?.text ?? 'false', { SETTINGS: file });
    expect(parseSettings(file, parse(readFileSync(file, 'utf8')))).toEqual(
      parseSettings('lab', lab.settings),
    );
  });

  it.each(shared.map(({ section, text }, index) => ({ section, text, number: index + 1 })))(
    '$number $section',
    async ({ text }) => {
      const one = around.find(({ has }) => text.includes(has));
      const env = await one?.before?.(operator);
      const output = await operator.types(text, env);
      await one?.after(operator, output);
    },
  );

  it('closes the gate with an alert that the operator adds to the group', async () => {
    const alert = 'UpgradesHaltedByHand';
    expect(readDocument(runbookPath)).toContain(`- alert: ${alert}`);
    lab.prometheus.groups.get('Upgrade Gates')?.push(alert);
    lab.prometheus.fire(alert);
    const { exitCode, stdout } = await lab.cli(['plan', '--target-version', '1.34.5', '--kind', 'patch']);
    lab.prometheus.clear(alert);
    expect([exitCode, stdout]).toEqual([3, expect.stringContaining(alert)]);
  });

  it('leaves no rollout in flight, nothing halted and no node changed', async () => {
    const { stdout } = await lab.cli(['status', '--json']);
    const status = JSON.parse(stdout);
    expect(status).toMatchObject({ inFlight: null, halted: null, atWork: null });
    for (const node of status.nodes) expect(node).toMatchObject({ release: '1.34.2', state: 'Ready' });
    expect(shared.length).toBeGreaterThan(25);
    for (const { has } of around) expect(shared.filter(({ text }) => text.includes(has))).toHaveLength(1);
  });
});

describe.skipIf(!ready)('the commands of the runbook that upgrade', () => {
  it.each(own.map(({ section, text }, index) => ({ section, text, number: index + 1 })))(
    '$number $section',
    async ({ text }) => {
      const manual = text.includes('node-script update_k8s');
      // `submit` upgrades all nodes; for other commands only the last node is left to upgrade.
      const whole = manual || text.startsWith('k8s-upgrade submit');
      const lab = await Lab.start(whole ? {} : { release: '1.34.5', releases: { 'k8s-node1': '1.34.2' } });
      try {
        const operator = await Operator.at(lab);
        await operator.types(text);
        const nodes = manual ? everywhere(lab, '1.34.2') : everywhere(lab, '1.34.5');
        if (manual) Object.assign(nodes, { 'k8s-master': '1.34.5', 'k8s-node3': '1.34.5' });
        await expect.poll(() => releases(lab), { timeout: 60_000, interval: 200 }).toEqual(nodes);
        const status = async () => JSON.parse((await lab.cli(['status', '--json'])).stdout);
        await expect.poll(status, { timeout: 30_000, interval: 500 }).toMatchObject({
          inFlight: null,
          atWork: null,
          nodes: Object.keys(nodes).map(() => ({ state: 'Ready' })),
        });
      } finally {
        await lab.stop();
      }
    },
  );

  it('include a manually created Job when they stop a run immediately', async () => {
    const dispatch = blocks.find(({ text }) => text.includes('k8s-version-upgrade-by-hand'))?.text ?? '';
    const [make = ''] = dispatch.split('kubectl -n k8s-upgrade wait');
    const stops = blocks.filter(({ text }) => text.includes('delete jobs'));
    expect(stops).toHaveLength(2);
    const lab = await Lab.start({ pace: 'visible' });
    try {
      const operator = await Operator.at(lab);
      const pods = () =>
        lab.api.store
          .list('pods', objectNames.namespace)
          .filter(({ metadata }) => metadata.labels?.['batch.kubernetes.io/job-name']?.includes('by-hand'))
          .map(({ status }) => status?.phase);
      for (const { text } of stops) {
        await operator.types(make.replaceAll('\\"dry_run\\":true', '\\"dry_run\\":false'));
        await expect.poll(pods, { timeout: 20_000 }).toEqual(['Running']);
        await operator.types(text);
        await expect.poll(pods, { timeout: 20_000 }).toEqual([]);
      }
      expect(releases(lab)).toEqual(everywhere(lab, '1.34.2'));
    } finally {
      await lab.stop();
    }
  });
});
