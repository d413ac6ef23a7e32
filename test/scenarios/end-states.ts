import { expect, onTestFinished } from 'vitest';
import { annotationKeys, metrics, objectNames } from '../../runtime/src/names.ts';
import type { AnyLab } from '../lab/lab.ts';
import { type Scenario, scenarios } from '../lab/rehearse/scenarios.ts';
import { changesByPrograms, cluster, drained, jobsOfRuns, kubeadmOverlaps, slackEnds } from './observe.ts';
import { startLab } from './start-lab.ts';

const keys = annotationKeys('viktorbarzin.me');

/** What the cluster and its surroundings look like after each scenario. */
const endStates: Record<string, (lab: AnyLab) => Promise<void>> = {
  async patch(lab) {
    expect(await drained(lab)).toEqual(['k8s-master', 'k8s-node4', 'k8s-node3', 'k8s-node2', 'k8s-node1']);
    await expectFinished(lab, '1.34.5');
    expect(
      lab.node('k8s-master').history.filter((run) => run.args[0] === 'upgrade' && run.args[1] === 'apply'),
    ).toHaveLength(1);
    expect(await jobsOfRuns(lab)).toHaveLength(2);
  },
  async minor(lab) {
    await expectFinished(lab, '1.35.3');
    for (const node of lab.nodes.values()) {
      expect(node.read('/etc/apt/sources.list.d/kubernetes.list')).toContain('/v1.35/deb/');
    }
  },
  async 'dry-run'(lab) {
    await expectUnchanged(lab, '1.34.2');
    expect(lab.pushgateway.history.filter((push) => push.grouping.job === 'k8s-version-upgrade')).toEqual([]);
    expect(lab.slack.messages.every(({ text }) => text.startsWith('[dry-run] '))).toBe(true);
  },
  async alert(lab) {
    await expectFinished(lab, '1.34.5');
    expect(
      lab.slack.messages.some(
        ({ text }) => text.includes('NodeMemoryPressure') && text.includes('k8s-node1'),
      ),
    ).toBe(true);
    // Stopped between the second and the third node, and drained none of them twice.
    expect(await drained(lab)).toEqual(['k8s-master', 'k8s-node4', 'k8s-node3', 'k8s-node2', 'k8s-node1']);
  },
  async 'worker-fails'(lab) {
    await expectFinished(lab, '1.34.5');
    expect(await drained(lab)).toEqual(['k8s-master', 'k8s-node4', 'k8s-node3', 'k8s-node2', 'k8s-node1']);
  },
  async pdb(lab) {
    await expectUnchanged(lab, '1.34.2');
    const last = lab.slack.messages.at(-1)?.text;
    expect(last).toContain('default/ledger-always');
    expect(last).toMatch(/default\/ledger-[a-z0-9]+-[a-z0-9]+ on k8s-node/);
    expect(lab.pushgateway.value(metrics.outcome.name, { outcome: 'blocked' })).toBe(1);
  },
  async 'up-to-date'(lab) {
    await expectUnchanged(lab, '1.34.5');
    expect(lab.agentService.jobs).toEqual([]);
    expect(lab.pushgateway.samples(metrics.available.name)).toEqual([]);
    expect(lab.pushgateway.value(metrics.detectionLastRun.name)).toBeGreaterThan(Date.now() / 1000 - 60);
  },
};

/** What a scenario of two runs says between them, and what the cluster looks like then. */
const betweenRuns: Record<
  string,
  { readonly said: string; readonly assert: (lab: AnyLab) => Promise<void> }
> = {
  alert: {
    said: 'the alert clears',
    async assert(lab) {
      await expectUnfinished(lab, { upgraded: ['k8s-master', 'k8s-node4'], unchanged: nodesAfterTheSecond });
      expect(await drained(lab)).toEqual(['k8s-master', 'k8s-node4']);
      expect(lab.pushgateway.value(metrics.outcome.name, { outcome: 'blocked' })).toBe(1);
      expect(lab.slack.messages.at(-1)?.text).toContain('alert NodeMemoryPressure is firing');
    },
  },
  'worker-fails': {
    said: 'somebody repairs k8s-node3',
    async assert(lab) {
      const unchanged = nodesAfterTheSecond.filter((name) => name !== 'k8s-node3');
      await expectUnfinished(lab, { upgraded: ['k8s-master', 'k8s-node4'], unchanged });
      const failed = (await cluster(lab)).nodes.find(({ name }) => name === 'k8s-node3');
      expect(failed).toMatchObject({ release: '1.34.2', unschedulable: false });
      expect(failed?.annotations).toMatchObject({ [keys.unfinished]: 'kubeadm' });
      expect(await drained(lab)).toEqual(['k8s-master', 'k8s-node4']);
      expect(lab.pushgateway.value(metrics.outcome.name, { outcome: 'failed' })).toBe(1);
      expect(lab.slack.messages.at(-1)?.text).toContain('k8s-node3 serves on, its kubelet at 1.34.2');
    },
  },
};

/** By name, which is not their order. */
const nodesAfterTheSecond = ['k8s-node1', 'k8s-node2', 'k8s-node3'];

async function expectUnfinished(
  lab: AnyLab,
  expected: { upgraded: readonly string[]; unchanged: readonly string[] },
) {
  const { nodes, namespace, lease } = await cluster(lab);
  const named = (names: readonly string[]) => nodes.filter(({ name }) => names.includes(name));
  const { upgraded, unchanged } = expected;
  expect(named(upgraded).map((n) => [n.name, n.release, n.unschedulable])).toEqual(
    upgraded.map((name) => [name, '1.34.5', false]),
  );
  expect(named(unchanged).map((n) => [n.name, n.release, n.unschedulable])).toEqual(
    unchanged.map((name) => [name, '1.34.2', false]),
  );
  const marks = named(unchanged).flatMap(({ annotations }) => Object.keys(annotations));
  expect(marks.filter((key) => key.startsWith('viktorbarzin.me'))).toEqual([]);
  const changes = changesByPrograms(lab).filter((line) => unchanged.includes(line.split(':')[0] ?? ''));
  expect(changes).toEqual([]);
  expect(namespace).toMatchObject({ [keys.inFlight]: expect.any(String), [keys.target]: '1.34.5' });
  expect(lease).toBe('');
  expect(lab.pushgateway.value(metrics.inFlight.name)).toBe(1);
  expect(slackEnds(lab, 'done')).toEqual([]);
}

async function expectFinished(lab: AnyLab, release: string): Promise<void> {
  const { nodes, namespace, lease } = await cluster(lab);
  expect(nodes.map((n) => [n.name, n.release, n.unschedulable])).toEqual(
    [...lab.nodes.keys()].sort().map((name) => [name, release, false]),
  );
  expect(lab.api.version).toBe(release);
  const ours: readonly string[] = Object.values(keys);
  const marks = [...nodes.map((node) => node.annotations), namespace].flatMap((annotations) =>
    Object.keys(annotations).filter((key) => ours.includes(key)),
  );
  expect(marks).toEqual([]);
  expect(lease).toBe('');
  expect(kubeadmOverlaps(lab)).toEqual([]);
  expect(lab.pushgateway.value(metrics.inFlight.name)).toBe(0);
  expect(lab.pushgateway.value(metrics.outcome.name, { outcome: 'done' })).toBe(1);
  expect(slackEnds(lab, 'done')).toHaveLength(1);
  for (const node of lab.nodes.values()) {
    expect(node.history.filter((run) => run.program === 'apt-mark').at(-1)?.args).toEqual(
      expect.arrayContaining(['hold']),
    );
  }
}

async function expectUnchanged(lab: AnyLab, release: string): Promise<void> {
  const { nodes, namespace } = await cluster(lab);
  expect(nodes.every((node) => node.release === release && !node.unschedulable)).toBe(true);
  expect(
    nodes.flatMap((node) => Object.keys(node.annotations)).filter((key) => key.startsWith('viktorbarzin.me')),
  ).toEqual([]);
  expect(Object.keys(namespace).filter((key) => key === keys.inFlight)).toEqual([]);
  expect(changesByPrograms(lab)).toEqual([]);
}

/** Whole upgrades beyond the default one: played by `make test-slow`. */
const long = ['minor', 'alert', 'worker-fails'];

export const shortScenarios = scenarios.filter(({ name }) => !long.includes(name));
export const longScenarios = scenarios.filter(({ name }) => long.includes(name));

/**
 * Plays the scenario in a lab of its own, and looks at every exit code and at the state between its runs and
 * at its end.
 */
export async function playToItsEnd(scenario: Scenario): Promise<void> {
  const { name } = scenario;
  const assertEnd = endStates[name];
  if (assertEnd === undefined) throw new Error(`no end state is written down for ${name}`);
  const lab = await startLab(scenario.options);
  onTestFinished(() => lab.stop());
  const warnings: string[] = [];
  lab.events.on('log', (line) => line.includes('Warning') && warnings.push(line));
  const said: string[] = [];
  const { runs } = await scenario.play(lab, {
    async say(text) {
      said.push(text);
      if (text === betweenRuns[name]?.said) await betweenRuns[name].assert(lab);
    },
  });
  expect(runs).toEqual(scenario.expects);
  if (betweenRuns[name]) expect(said).toContain(betweenRuns[name].said);
  await assertEnd(lab);
  expect(warnings, 'what Node.js has to say of the program').toEqual([]);
  expect(
    (await lab.api.requestLog()).filter((r) => r.status === 403 && r.user.includes(objectNames.namespace)),
  ).toEqual([]);
}
