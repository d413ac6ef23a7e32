import { setTimeout as sleep } from 'node:timers/promises';
import { jobLabels } from '../../../runtime/src/names.ts';
import type { Lab } from '../lab.ts';
import { during, limited, until } from '../waits.ts';
import { CallCounter } from './counter.ts';
import { clusterOf, courses, inputsOf, startLab } from './lab.ts';
import { Witness, wrongAfterRun } from './verdict.ts';

/** Something that happens to a run, other than to one of its calls. */
interface Disturbance {
  readonly name: string;
  /** Returns what is wrong beyond what {@link wrongAfterRun} looks for. */
  play(lab: Lab, running: Promise<{ exitCode: number }>): Promise<readonly string[]>;
  /** `timing.lease`. @default as short as a killed executor's is */
  readonly lease?: string;
  /** The run itself is to end with this. @default 0 */
  readonly exitCode?: number;
}

export interface DisturbanceResult {
  readonly name: string;
  readonly wrong: readonly string[];
  readonly log: string;
}

const course = courses.patch;

const kubeadmRuns = (lab: Lab, node: string, verb: string): number =>
  lab.node(node).history.filter(({ program, args }) => program === 'kubeadm' && args[1] === verb).length;

export const disturbances: readonly Disturbance[] = [
  {
    name: 'the API server is away during the control-plane upgrade',
    async play(lab, running) {
      await during(running, lab.node('k8s-master').started('kubeadm', 'upgrade', 'apply'));
      await lab.api.outage(6_000);
      await running;
      return kubeadmRuns(lab, 'k8s-master', 'apply') === 1
        ? []
        : ['kubeadm upgrade apply ran more than once'];
    },
  },
  {
    name: 'every connection to a node is cut in the middle of update_k8s.sh',
    async play(lab, running) {
      await during(running, lab.node('k8s-node2').started('kubeadm', 'upgrade', 'node'));
      lab.node('k8s-node2').cutConnections();
      await running;
      return kubeadmRuns(lab, 'k8s-node2', 'node') === 1 ? [] : ['kubeadm upgrade node ran more than once'];
    },
  },
  {
    name: 'a worker reboots in the middle of update_k8s.sh',
    async play(lab, running) {
      await during(running, lab.node('k8s-node2').started('kubeadm', 'upgrade', 'node'));
      await lab.node('k8s-node2').reboot(1_000);
      await running;
      return [];
    },
  },
  {
    name: 'the control plane reboots in the middle of update_k8s.sh',
    async play(lab, running) {
      await during(running, lab.node('k8s-master').started('kubeadm', 'upgrade', 'apply'));
      await Promise.all([lab.node('k8s-master').reboot(1_000), lab.api.outage(1_500)]);
      await running;
      return [];
    },
  },
  {
    name: 'the executor is stopped for longer than its lease, and another takes over',
    // The first has lost its lease: it is blocked, and says who has it.
    exitCode: 3,
    // A second run has to come to it before it has run out, on a busy machine too.
    lease: '8s',
    play: stopAndTakeOver,
  },
];

async function stopAndTakeOver(lab: Lab, running: Promise<object>): Promise<readonly string[]> {
  await during(running, lab.node('k8s-node2').started('kubeadm', 'upgrade', 'node'));
  const pod = lab.api.store
    .list('pods')
    .find((one) => one.metadata.labels?.[jobLabels.run] && one.status?.phase === 'Running');
  const [pid] = [...lab.api.runner.processes()].find(([, name]) => name === pod?.metadata.name) ?? [];
  if (pid === undefined) return ['no Job was running'];
  process.kill(pid, 'SIGSTOP');
  // Another run waits for nobody: it is refused while the lease lasts, and takes it over afterwards.
  const args = ['run', '--inputs', inputsOf(course)];
  const refused = await lab.cli(args);
  const wrong =
    refused.exitCode === 3 && refused.stderr.includes('holds the lease')
      ? []
      : [`a second run ended with ${refused.exitCode} beside a live lease`];
  await sleep(8_500);
  const second = lab.cli(args);
  const holder = pod?.metadata.name ?? '';
  await until('the lease was taken over', () => clusterOf(lab).lease?.endsWith(holder) !== true);
  const counter = new CallCounter(lab, pod?.metadata.name.replace(/-[^-]+$/, '') ?? '');
  process.kill(pid, 'SIGCONT');
  await running;
  // A renewal that it was in the middle of is refused as a conflict; had it been taken, the second run would
  // have ended.
  const isWrite = /^(create|patch|update|delete|POST|PUT|start) (?!leases)/;
  const writes = counter.records.filter(({ what }) => isWrite.test(what));
  wrong.push(...writes.map(({ what }) => `after its lease was lost: ${what}`));
  const { exitCode, stdout, stderr } = await second;
  if (exitCode !== 0) wrong.push(`the second run ended with ${exitCode}: ${stdout}${stderr}`);
  return wrong;
}

/** One upgrade with one disturbance. */
export async function runDisturbed({
  name,
  play,
  exitCode = 0,
  lease,
}: Disturbance): Promise<DisturbanceResult> {
  const lab = await startLab(course, undefined, lease);
  const log: string[] = [];
  lab.events.on('log', (line) => log.push(line));
  lab.events.on('run-event', (event) => event.type !== 'heartbeat' && log.push(JSON.stringify(event)));
  try {
    const witness = new Witness(lab, course);
    const running = lab.submit(inputsOf(course));
    const beyond = await limited(name, play(lab, running));
    const ended = await limited(name, running);
    await lab.api.settled();
    const wrong = wrongAfterRun(
      lab,
      course,
      witness,
      ended.exitCode === exitCode ? 0 : ended.exitCode,
      undefined,
      undefined,
    );
    if (ended.exitCode !== 0) log.push(ended.output);
    const expected = (one: string) => exitCode === 3 && /^Job \S+ failed$/.test(one);
    return { name, wrong: [...wrong.filter((one) => !expected(one)), ...beyond], log: log.join('\n') };
  } finally {
    await lab.stop();
  }
}
