/**
 * Times the patch upgrade of a real cluster of three nodes, by the pipeline and by a shell script that does
 * what kubeadm's documentation says, each on a fresh cluster. Prints both side by side.
 *
 *   test/cluster/run.sh bench [PAIRS]
 */
import { deepEqual } from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { KubeadmCluster } from './cluster.ts';
import { Cordons } from './cordons.ts';
import { KubeadmTime } from './kubeadm-time.ts';
import { Pipeline } from './pipeline.ts';
import { longestGap, Probe, type Seen } from './probe.ts';
import { productImage } from './product-image.ts';
import { writeSshConfig } from './ssh-config.ts';
import { expectedState, stateOf } from './state.ts';
import { startWorkload } from './workload.ts';

const [from, target] = ['1.34.2', '1.34.4'];

/** What was measured of one upgrade. */
interface Figures {
  /** From its start to its end, milliseconds. */
  readonly wall: number;
  /** Milliseconds for which `kubeadm upgrade apply` ran. How long it waits for the kubelet varies. */
  readonly kubeadm: number;
  /** Milliseconds for which each node was cordoned, by its name. */
  readonly cordoned: Readonly<Record<string, number>>;
  /** A request every 100 ms to `/readyz` of the API server, and to a Service. */
  readonly api: Seen;
  readonly service: Seen;
}

/** Upgrades a cluster. Resolves with the milliseconds that it took. */
type Upgrade = (cluster: KubeadmCluster, pipeline: Pipeline) => Promise<number>;

const byPipeline: Upgrade = async (_cluster, pipeline) => {
  await pipeline.detect();
  await pipeline.completed();
  const [first] = await pipeline.jobs();
  // A detection dispatches the run; its own time, once a week, is none of the upgrade.
  const started = Date.parse(first?.metadata.creationTimestamp ?? '');
  return (await pipeline.endedAt()) - started;
};

const byHand: Upgrade = async (cluster) => {
  const path = join(cluster.dir, 'bin');
  await mkdir(path);
  await symlink(cluster.kubectlProgram, join(path, 'kubectl'));
  const config = await writeSshConfig(cluster, join(cluster.dir, 'ssh'));
  const started = Date.now();
  const names = cluster.nodes.map(({ name }) => name);
  const child = spawn(join(import.meta.dirname, 'by-hand.sh'), [target, config, ...names], {
    env: { ...process.env, PATH: `${path}:${process.env.PATH}`, KUBECONFIG: cluster.kubeconfig },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += chunk));
  const [exitCode] = await once(child, 'close');
  if (exitCode !== 0) throw new Error(`by-hand.sh ended with ${exitCode}:\n${output}`);
  return Date.now() - started;
};

/** Both upgrades have the same cluster: with the pipeline in it, and its Prometheus, which scrapes it. */
async function measure(upgrade: Upgrade): Promise<Figures> {
  const cluster = await KubeadmCluster.start({ release: from, later: [target] });
  const pipeline = await Pipeline.deploy(cluster, {
    image: productImage(),
    settings: (base) => ({ ...base, timing: { ...base.timing, soak: '0s', controlPlaneSoak: '0s' } }),
  });
  try {
    const url = await startWorkload(cluster);
    await cluster.publish(target);
    const worker = cluster.node('k8s-node1');
    const { address } = cluster.node('k8s-master');
    const api = new Probe(worker, `https://${address}:6443/readyz`);
    const service = new Probe(worker, url);
    const cordons = new Cordons(cluster.rest);
    const kubeadm = new KubeadmTime();
    const wall = await upgrade(cluster, pipeline);
    await cluster.ready();
    const seen = { api: await api.stop(), service: await service.stop() };
    const cordoned = await cordons.stop();
    deepEqual(await stateOf(cluster), await expectedState(cluster, target));
    return { wall, kubeadm: await kubeadm.stop(), cordoned, ...seen };
  } finally {
    await pipeline.stop();
    await cluster.stop();
  }
}

const seconds = (ms: number): string => (ms / 1000).toFixed(1);
const failed = (seen: Seen): string =>
  `${seen.failures.length} failed, longest gap ${seconds(longestGap(seen))} s`;

function print(pair: number, pipeline: Figures, hand: Figures): void {
  const ratio = (pipeline.wall / hand.wall).toFixed(2);
  console.log(
    `real patch ${pair}        pipeline ${seconds(pipeline.wall)} s, script ${seconds(hand.wall)} s: ${ratio} times (limit 1.05)`,
  );
  console.log(
    `  kubeadm apply    ${seconds(pipeline.kubeadm)} s, script ${seconds(hand.kubeadm)} s; the rest ${seconds(pipeline.wall - pipeline.kubeadm)} s, script ${seconds(hand.wall - hand.kubeadm)} s`,
  );
  for (const name of Object.keys(hand.cordoned).sort())
    console.log(
      `  ${name.padEnd(16)} cordoned for ${seconds(pipeline.cordoned[name] ?? 0)} s, script ${seconds(hand.cordoned[name] ?? 0)} s`,
    );
  console.log(`  /readyz          ${failed(pipeline.api)}; script ${failed(hand.api)}`);
  console.log(`  a Service        ${failed(pipeline.service)}; script ${failed(hand.service)}`);
}

const [pairs = '1'] = process.argv.slice(2);
for (let pair = 1; pair <= Number(pairs); pair += 1) {
  const hand = await measure(byHand);
  print(pair, await measure(byPipeline), hand);
}
