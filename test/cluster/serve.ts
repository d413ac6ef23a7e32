/**
 * Boots a cluster with the pipeline deployed in it, writes and prints how to reach it, and keeps it until it
 * is interrupted.
 *
 *   test/cluster/run.sh serve [TOPOLOGY]
 */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { environment, run } from '../hosts/shell.ts';
import { KubeadmCluster, type Topology } from './cluster.ts';
import { write } from './files.ts';
import { Pipeline } from './pipeline.ts';
import { productImage } from './product-image.ts';
import { writeSshConfig } from './ssh-config.ts';
import { startWorkload } from './workload.ts';

const [from, target] = ['1.34.2', '1.34.4'];
const started = Date.now();
const step = (text: string) =>
  console.log(`${((Date.now() - started) / 1000).toFixed(0).padStart(4)} s  ${text}`);

const [topology] = process.argv.slice(2) as [Topology?];

const interrupted = new Promise((resolve) => {
  process.once('SIGINT', resolve);
  process.once('SIGTERM', resolve);
});
const cluster = await KubeadmCluster.start({
  topology,
  release: from,
  later: [target],
  onStep: step,
});
// The cable to the machine's own network, which run.sh has laid.
await run('ip', ['link', 'set', 'machine', 'master', cluster.network.bridge, 'up']);
step('the pipeline, and a workload');
const pipeline = await Pipeline.deploy(cluster, { image: productImage() });
await startWorkload(cluster);
await cluster.publish(target);

const directory = environment('CLUSTER_FILES');
await mkdir(directory, { recursive: true, mode: 0o700 });
await write(directory, 'kubeconfig', cluster.node('k8s-master').read('/etc/kubernetes/admin.conf'), 0o600);
const sshConfig = await writeSshConfig(cluster, directory);
step(`ready: Kubernetes ${from}, and ${target} in the package repository`);
console.log(`
export KUBECONFIG=${join(directory, 'kubeconfig')}
ssh -F ${sshConfig} NODE    # ${cluster.nodes.map(({ name }) => name).join(', ')}
kubectl -n k8s-upgrade create job detection --from=cronjob/k8s-version-check    # starts the upgrade to ${target}
Prometheus   ${pipeline.monitoring.prometheusUrl}
Alertmanager ${pipeline.monitoring.alertmanagerUrl}
Pushgateway  ${pipeline.monitoring.pushgatewayUrl}
packages     ${cluster.repository.base}

Ctrl-C ends it.`);
pipeline.slack.events.on('message', ({ text }) => console.log(`Slack: ${text}`));
await interrupted;
await pipeline.stop();
await cluster.stop();
