import { KubernetesProvider } from '@cdktf/provider-kubernetes/lib/provider/index.js';
import { VaultProvider } from '@cdktf/provider-vault/lib/provider/index.js';
import { App, TerraformStack } from 'cdktf';
import { stateBackend, UpgradePipeline } from './constructs/index.ts';

/** Built from runtime/Dockerfile; pinned. */
const image = 'forgejo.viktorbarzin.me/viktor/k8s-version-upgrade:0.1.0';
/** Whether detection runs on its schedule, every Sunday. */
const enabled = true;
/** Whether detection only reports what it finds and dispatches nothing. */
const detectionDryRun = false;

// cdktf captures a stack trace for every token. Mapping them to TypeScript would take most of the time.
process.setSourceMapsEnabled(false);

const stackName = 'k8s-version-upgrade';
const app = new App({ stackTraces: false });
const stack = new TerraformStack(app, stackName);
stateBackend(stack, { postgres: Boolean(process.env.PG_CONN_STR), name: stackName });
// Both read address and credentials from the environment: KUBE_CONFIG_PATH; VAULT_ADDR and the login token.
new KubernetesProvider(stack, 'kubernetes');
new VaultProvider(stack, 'vault');

new UpgradePipeline(stack, 'pipeline', {
  image,
  enabled,
  detectionDryRun,
  schedule: '0 12 * * 0',
  timeZone: 'Etc/UTC',
  settings: {
    nodes: {
      controlPlane: ['k8s-master'],
      workers: ['k8s-node4', 'k8s-node3', 'k8s-node2', 'k8s-node1'],
    },
    ssh: { user: 'wizard', hostKeys: { policy: 'accept-new' } },
    prometheus: { url: 'http://prometheus-server.monitoring' },
    pushgateway: { url: 'http://prometheus-prometheus-pushgateway.monitoring:9091' },
    // No node serves while anything is upgraded there.
    drain: { before: 'kubeadm' },
    dispatch: {
      mode: 'agent-service',
      agentService: { url: 'http://claude-agent-service.claude-agent.svc.cluster.local:8080' },
    },
  },
  submitters: [{ namespace: 'claude-agent', name: 'claude-agent' }],
  alerts: {
    runbook:
      'https://forgejo.viktorbarzin.me/viktor/infra/src/branch/master/docs/runbooks/k8s-version-upgrade.md',
    // The monitoring stack owns the chart's release and merges these rules in as values.
    target: { kind: 'helm-values' },
    workloads: [
      { alert: 'MysqlStandaloneDown', namespace: 'dbaas', kind: 'StatefulSet', name: 'mysql-standalone' },
    ],
  },
});

app.synth();
