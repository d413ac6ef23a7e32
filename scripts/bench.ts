import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseDuration } from '../runtime/src/duration.ts';
import { annotationKeys, objectNames } from '../runtime/src/names.ts';
import type { Node, Pod } from '../test/lab/api/index.ts';
import { bundle, Lab } from '../test/lab/lab.ts';

/** Prints the figures of docs/testing.md, section Speed. Compare only figures of the same run. */

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

const keys = annotationKeys('viktorbarzin.me');
const target = '1.34.5';

/**
 * How long the drain of each node takes, in milliseconds: from its cordon to the last deletion of a pod
 * before its kubelet is at the target. Measured in the lab's API server.
 */
function timeDrains(lab: Lab): Map<string, number> {
  const cordoned = new Map<string, number>();
  const drains = new Map<string, number>();
  lab.api.store.subscribe(({ type, resource, object }) => {
    const now = performance.now();
    if (resource === 'nodes') {
      const { metadata, spec, status } = object as Node;
      const open = spec?.unschedulable === true && status?.nodeInfo?.kubeletVersion !== `v${target}`;
      if (!open) cordoned.delete(metadata.name);
      else if (!cordoned.has(metadata.name)) cordoned.set(metadata.name, now);
    }
    if (resource !== 'pods' || type !== 'DELETED') return;
    const node = (object as Pod).spec?.nodeName ?? '';
    const since = cordoned.get(node);
    if (since !== undefined) drains.set(node, now - since);
  });
  return drains;
}

/** Names of the nodes on which a soak started. Any time beyond that in the settings is overhead. */
function watchSoaks(lab: Lab): Set<string> {
  const soaked = new Set<string>();
  lab.api.store.subscribe(({ resource, object }) => {
    const { name, annotations } = object.metadata;
    if (resource === 'nodes' && annotations?.[keys.soaking] !== undefined) soaked.add(name);
  });
  return soaked;
}

/** Milliseconds of each node check, from the Job until its pod has succeeded, by the name of the Job. */
function timeChecks(lab: Lab): Map<string, number> {
  const started = new Map<string, number>();
  const checks = new Map<string, number>();
  lab.api.store.subscribe(({ type, resource, object }) => {
    const { name, labels } = object.metadata;
    if (labels?.app !== objectNames.nodeCheckCronJob) return;
    if (resource === 'jobs' && type === 'ADDED') started.set(name, performance.now());
    const job = labels['batch.kubernetes.io/job-name'] ?? '';
    const since = started.get(job);
    if (resource !== 'pods' || since === undefined || checks.has(job)) return;
    if ((object as Pod).status?.phase === 'Succeeded') checks.set(job, performance.now() - since);
  });
  return checks;
}

const sum = (values: Iterable<number>): number => [...values].reduce((a, b) => a + b, 0);

/**
 * Prints the time of a run minus drains, scripts, node checks and soaks, per node. The lab measures these,
 * not the program.
 */
async function overhead(): Promise<void> {
  const lab = await Lab.start();
  try {
    const [drained, checked, soaked] = [timeDrains(lab), timeChecks(lab), watchSoaks(lab)];
    const started = performance.now();
    const { exitCode, stderr } = await lab.cli(['run', '--target-version', target, '--kind', 'patch']);
    const wall = performance.now() - started;
    if (exitCode !== 0) throw new Error(stderr);
    const runs = [...lab.nodes.values()].flatMap((node) => node.scriptRuns);
    const scripts = sum(runs.map((run) => run.end - run.start));
    const drains = sum(drained.values());
    const checks = sum(checked.values());
    const soaks = soaked.size * (parseDuration(lab.settings.timing?.soak ?? '') ?? Number.NaN);
    const perNode = (wall - drains - checks - soaks - scripts) / lab.nodes.size;
    const figures = [wall, drains, scripts, checks, soaks].map((ms) => (ms / 1000).toFixed(1));
    console.log(
      `overhead per node   ${perNode.toFixed(0)} ms (limit 1000): run ${figures[0]} s, of which drains ${figures[1]} s, scripts ${figures[2]} s, ${checked.size} node checks ${figures[3]} s, soaks ${figures[4]} s`,
    );
  } finally {
    await lab.stop();
  }
}

/** Times `make synth` without npm, into a temporary directory. */
function synthesis(runs: number): void {
  const main = fileURLToPath(new URL('../main.ts', import.meta.url));
  const outdir = mkdtempSync(join(tmpdir(), 'bench-synth-'));
  try {
    const times = Array.from({ length: runs }, () => {
      const started = performance.now();
      const env = { ...process.env, CDKTF_OUTDIR: outdir };
      const { status } = spawnSync(process.execPath, ['--import', 'tsx', main], { env, stdio: 'ignore' });
      if (status !== 0) throw new Error(`main.ts ended with ${status}`);
      return performance.now() - started;
    });
    console.log(`synthesis           ${median(times).toFixed(0)} ms (limit 1500), ${runs} runs`);
  } finally {
    rmSync(outdir, { recursive: true });
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
synthesis(5);
await overhead();
rehearsal();
