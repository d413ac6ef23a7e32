import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { RunEvent } from '../runtime/src/report/events.ts';
import { bundle, Lab } from '../test/lab/lab.ts';

/** Prints the three figures of the README's speed section. Compare figures of one run only: machines differ and drift. */

const hook = fileURLToPath(new URL('./rss-hook.cjs', import.meta.url));

function once(args: readonly string[]): { ms: number; mib: number } {
  const started = performance.now();
  const { status, output } = spawnSync(process.execPath, ['-r', hook, ...args], {
    stdio: ['ignore', 'ignore', 'inherit', 'pipe'],
  });
  if (status !== 0) throw new Error(`node ${args.join(' ')} ended with ${status}`);
  return { ms: performance.now() - started, mib: Number(output[3]) / 1024 };
}

const median = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;

function coldStart(runs: number): void {
  const pairs = Array.from({ length: runs }, () => ({
    bare: once(['-e', '0']),
    ours: once([bundle, '--version']),
  }));
  const ours = median(pairs.map((pair) => pair.ours.ms));
  const bare = median(pairs.map((pair) => pair.bare.ms));
  const ratio = median(pairs.map((pair) => pair.ours.ms / pair.bare.ms));
  const peak = Math.max(...pairs.map((pair) => pair.ours.mib));
  console.log(
    `cold start          ${ours.toFixed(0)} ms, bare node ${bare.toFixed(0)} ms: ${ratio.toFixed(2)} times (limit 3); peak ${peak.toFixed(0)} MiB (limit 90), ${runs} pairs`,
  );
}

/** Wall time of a run less what the lab knows was spent in drains, scripts and soaks. */
async function overhead(): Promise<void> {
  const lab = await Lab.start();
  try {
    const events: RunEvent[] = [];
    const started = performance.now();
    const { exitCode, stderr } = await lab.cli(['run', '--target-version', '1.34.5', '--kind', 'patch'], {
      onLine: (line) => events.push((JSON.parse(line) as { event: RunEvent }).event),
    });
    const wall = performance.now() - started;
    if (exitCode !== 0) throw new Error(stderr);
    const spent = (phase: string) =>
      events.reduce(
        (sum, e) => sum + (e?.type === 'node' && e.phase === phase ? (e.seconds ?? 0) * 1000 : 0),
        0,
      );
    const drains = spent('drained');
    const soaks = spent('done');
    const scripts = [...lab.nodes.values()]
      .flatMap((node) => node.scriptRuns)
      .reduce((sum, run) => sum + run.end - run.start, 0);
    const perNode = (wall - drains - soaks - scripts) / lab.nodes.size;
    const figures = [wall, drains, scripts, soaks].map((ms) => (ms / 1000).toFixed(1));
    console.log(
      `overhead per node   ${perNode.toFixed(0)} ms (limit 1000): run ${figures[0]} s, of it drains ${figures[1]} s, scripts ${figures[2]} s, soaks ${figures[3]} s`,
    );
  } finally {
    await lab.stop();
  }
}

function rehearsal(): void {
  const started = performance.now();
  const main = fileURLToPath(new URL('../test/lab/rehearse/main.ts', import.meta.url));
  const { status } = spawnSync(process.execPath, ['--import', 'tsx', main], { stdio: 'ignore' });
  const seconds = (performance.now() - started) / 1000;
  console.log(`rehearsal           ${seconds.toFixed(1)} s (limit 30), exit ${status}`);
}

coldStart(11);
await overhead();
rehearsal();
