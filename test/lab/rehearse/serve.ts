import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { bundle, Lab } from '../lab.ts';
import { LabNode } from '../nodes/node.ts';

/** Keeps a lab running until Ctrl-C, and prints how to reach each part of it. */
const lab = await Lab.start({ pace: 'visible' });
const kubeconfig = await lab.kubeconfig();
const knownHosts = join(lab.dir, 'operator', 'known_hosts');
const hosts = [...lab.nodes.values()].map((node) => `[${node.address}]:${node.port} ${node.hostKey}\n`);
await writeFile(knownHosts, hosts.join(''));
const cli = `node ${bundle}`;
const ssh = (node: LabNode) =>
  `ssh -i ${lab.privateKeyFile} -o UserKnownHostsFile=${knownHosts} -p ${node.port} ${LabNode.user}@${node.address}`;

console.log(`
The lab is up: five nodes at 1.34.2, and 1.34.5 is out.

  export KUBECONFIG=${kubeconfig}
  kubectl get nodes -o wide
  ${cli} plan --settings ${lab.settingsFile}
  ${cli} run --target-version 1.34.5 --kind patch --settings ${lab.settingsFile}
  kubectl -n k8s-upgrade create job --from=cronjob/k8s-version-check manual-check

Nodes
${[...lab.nodes.values()].map((node) => `  ${node.name.padEnd(12)}${ssh(node)}`).join('\n')}

Services
  Kubernetes    ${lab.api.url}
  packages      ${lab.packages.url}
  Prometheus    ${lab.prometheus.url}/api/v1/rules
  Pushgateway   ${lab.pushgateway.url}/metrics
  Slack         ${lab.slack.webhook}
  agent         ${lab.agentService.url}

Ctrl-C stops it.
`);
lab.slack.events.on('message', ({ text }) => console.log(`slack  ${text}`));
const stop = () => void lab.stop().finally(() => process.exit(0));
process.once('SIGINT', stop).once('SIGTERM', stop);
