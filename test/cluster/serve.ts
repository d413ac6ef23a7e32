/**
 * Boots a cluster, prints how to reach it, and keeps it until it is interrupted.
 *
 *   test/cluster/run.sh serve [TOPOLOGY]
 */
import { LabNode } from '../lab/nodes/node.ts';
import { KubeadmCluster, type Topology, topologies } from './cluster.ts';

const [topology = '1+2'] = process.argv.slice(2);
if (!Object.hasOwn(topologies, topology)) {
  console.error(`cluster: ${topology} is not a topology; there are ${Object.keys(topologies).join(', ')}`);
  process.exit(2);
}
const started = Date.now();
const cluster = await KubeadmCluster.start({
  topology: topology as Topology,
  release: process.env.RELEASE ?? '1.34.2',
  onStep: (text) => console.log(`${seconds()} s  ${text}`),
});
console.log(`${seconds()} s  all nodes and pods are Ready`);
const ssh = (address: string) => `ssh -i ${cluster.sshKey.path} ${LabNode.user}@${address}`;
console.log(`
export KUBECONFIG=${cluster.kubeconfig}
${cluster.nodes.map(({ name, address }) => `${name}: ${ssh(address)}`).join('\n')}
packages: ${cluster.repository.base}
Ctrl-C ends it.`);
await new Promise((resolve) => {
  process.once('SIGINT', resolve);
  process.once('SIGTERM', resolve);
});
await cluster.stop();
function seconds(): string {
  return ((Date.now() - started) / 1000).toFixed(0).padStart(4);
}
