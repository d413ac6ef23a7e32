import type { RunEvent } from '../../../runtime/src/report/events.ts';
import type { AnyLab, LabOptions } from '../lab.ts';

/** Prints what a scenario does. */
export interface Narrator {
  /** Prints something that happens outside of the pipeline. */
  say(text: string): void | Promise<void>;
}

/** How a scenario ended. */
export interface Played {
  /** Exit codes of the executor's runs, in order; a detection that dispatches nothing adds none. */
  readonly runs: readonly number[];
}

/** What `make rehearse SCENARIO=…` plays. */
export interface Scenario {
  /** As in `SCENARIO=…`. */
  readonly name: string;
  /** One line for the list of scenarios. */
  readonly summary: string;
  /** The cluster that it starts with. */
  readonly options: LabOptions;
  /** The exit codes that {@link Played.runs} must have. */
  readonly expects: readonly number[];
  /** Plays it once, in a new lab. */
  play(lab: AnyLab, narrator: Narrator): Promise<Played>;
}

/** Plays one detection of the CronJob, and the run that it dispatches. */
async function pipeline(lab: AnyLab): Promise<Played> {
  const before = lab.agentService.jobs.length;
  const detection = await lab.detect();
  if (detection !== 0) throw new Error(`the detection Job ended with exit code ${detection}`);
  const dispatched = lab.agentService.jobs.slice(before);
  return { runs: await Promise.all(dispatched.map((job) => lab.agentJobEnd(job.id))) };
}

/** Plays the pipeline until it stops, then the repair, and the pipeline again. */
async function stopAndResume(
  lab: AnyLab,
  narrator: Narrator,
  repair: string,
  action: () => void,
): Promise<Played> {
  const first = await pipeline(lab);
  await narrator.say(repair);
  action();
  const second = await pipeline(lab);
  return { runs: [...first.runs, ...second.runs] };
}

/** Calls `action` once, at the first event that matches. */
const when = (lab: AnyLab, matches: (event: RunEvent) => boolean, action: () => void): void => {
  const listener = (event: RunEvent) => {
    if (!matches(event)) return;
    lab.events.off('run-event', listener);
    action();
  };
  lab.events.on('run-event', listener);
};

/** Every scenario; the first is the default. */
export const scenarios: readonly Scenario[] = [
  {
    name: 'patch',
    summary: 'a new patch release is out: 1.34.2 → 1.34.5 on all five nodes',
    options: {},
    expects: [0],
    play: pipeline,
  },
  {
    name: 'minor',
    summary: 'a new minor is out: 1.34.5 → 1.35.3, with the package repository rewritten on every node',
    options: { release: '1.34.5', published: ['1.34.2', '1.34.5', '1.35.0', '1.35.1', '1.35.3'] },
    expects: [0],
    play: pipeline,
  },
  {
    name: 'dry-run',
    summary: 'the same patch with dry_run: every step is reported, nothing is changed',
    options: {},
    expects: [0],
    async play(lab) {
      const inputs = { target_version: '1.34.5', kind: 'patch', dry_run: true, stages: 'all' };
      return { runs: [(await lab.submit(JSON.stringify(inputs))).exitCode] };
    },
  },
  {
    name: 'alert',
    summary:
      'an Upgrade Gates alert fires before the third node: the rollout stops; once it clears, the next run finishes',
    options: {},
    expects: [3, 0],
    play(lab, narrator) {
      const secondNodeIsUp = (e: RunEvent) =>
        e.type === 'node' && e.node === 'k8s-node4' && e.phase === 'soaking';
      when(lab, secondNodeIsUp, () => {
        void narrator.say('the alert NodeMemoryPressure starts firing');
        lab.prometheus.fire('NodeMemoryPressure', { node: 'k8s-node1' });
      });
      return stopAndResume(lab, narrator, 'the alert clears', () =>
        lab.prometheus.clear('NodeMemoryPressure'),
      );
    },
  },
  {
    name: 'worker-fails',
    summary:
      'kubeadm fails on k8s-node3: it serves on and the rest is unchanged; once repaired, the next run finishes',
    options: {},
    expects: [1, 0],
    play(lab, narrator) {
      lab.node('k8s-node3').faults.set('kubeadm-fails', { times: 99 });
      return stopAndResume(lab, narrator, 'somebody repairs k8s-node3', () =>
        lab.node('k8s-node3').faults.clear('kubeadm-fails'),
      );
    },
  },
  {
    name: 'pdb',
    summary:
      'a PodDisruptionBudget that never allows an eviction: refused at preflight, by name, with nothing changed',
    options: {},
    expects: [3],
    async play(lab) {
      await lab.api.apply(neverAllowed);
      return pipeline(lab);
    },
  },
  {
    name: 'up-to-date',
    summary: 'nothing newer is out: the detection reports that and dispatches nothing',
    options: { release: '1.34.5' },
    expects: [],
    play: pipeline,
  },
];

const labels = { app: 'ledger' };

/** One replica that must always be available. */
const neverAllowed = [
  {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: 'ledger', namespace: 'default' },
    spec: {
      replicas: 1,
      selector: { matchLabels: labels },
      template: {
        metadata: { labels },
        spec: { containers: [{ name: 'ledger', image: 'registry.invalid/ledger:1' }] },
      },
    },
  },
  {
    apiVersion: 'policy/v1',
    kind: 'PodDisruptionBudget',
    metadata: { name: 'ledger-always', namespace: 'default' },
    spec: { minAvailable: 1, selector: { matchLabels: labels } },
  },
];

/** Undefined when there is no such scenario. */
export const scenarioNamed = (name: string): Scenario | undefined =>
  scenarios.find((one) => one.name === name);
