import { setTimeout as sleep } from 'node:timers/promises';
import { jobLabels } from '../../../runtime/src/names.ts';
import type { Lab } from '../lab.ts';
import { during, limited, until } from '../waits.ts';
import { CallCounter } from './counter.ts';
import { clusterOf, courses, inputsOf, startLab } from './lab.ts';
import { Witness, wrongAfterRun } from './verdict.ts';

/** Something that happens to a run as a whole and not to one of its calls. */
interface Disturbance {
  readonly name: string;
  /** Plays the run. Returns what is wrong beyond what {@link wrongAfterRun} looks for. */
  play(lab: Lab, running: Promise<{ exitCode: number }>): Promise<readonly string[]>;
  /** `timing.lease`. @default that of {@link startLab} */
  readonly lease?: string;
  /** The run's expected exit code. @default 0 */
  readonly exitCode?: number;
}

/** How a run with a disturbance ended. */
export interface DisturbanceResult {
  /** Name of the disturbance. */
  readonly name: string;
  /** Empty when the run ended well. */
  readonly wrong: readonly string[];
  /** Log lines and events of every Job. */
  readonly log: string;
}

const course = courses.patch;

const kubeadmRuns = (lab: Lab, node: string, verb: string): number =>
  lab.node(node).history.filter(({ program, args }) => program === 'kubeadm' && args[1] === verb).length;

/** Every disturbance that the crash test plays. */
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
    // The first one has lost its lease: it ends as blocked and names the holder.
    exitCode: 3,
    // Long enough that the second run starts before the lease expires, even on a busy machine.
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
  // A second run does not wait: it is refused while the lease is valid, and takes over once it has expired.
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
  // Writes to the lease do not count: a pending renewal is refused as a conflict. Had it
  // succeeded, the second run would have ended.
  const isWrite = /^(create|patch|update|delete|POST|PUT|start) (?!leases)/;
  const writes = counter.records.filter(({ what }) => isWrite.test(what));
  wrong.push(...writes.map(({ what }) => `after its lease was lost: ${what}`));
  const { exitCode, stdout, stderr } = await second;
  if (exitCode !== 0) wrong.push(`the second run ended with ${exitCode}: ${stdout}${stderr}`);
  return wrong;
}

/** Plays one upgrade with one disturbance. */
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
