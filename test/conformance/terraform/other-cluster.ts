import { HelmProvider } from '@cdktf/provider-helm/lib/provider/index.js';
import { KubernetesProvider } from '@cdktf/provider-kubernetes/lib/provider/index.js';
import { VaultProvider } from '@cdktf/provider-vault/lib/provider/index.js';
import { App, TerraformStack } from 'cdktf';
import { stateBackend, UpgradeGates, UpgradePipeline } from '../../../constructs/index.ts';
import { chartVersion, ownGroup } from './chart-repository.ts';

// An app with the choices that main.ts does not make: the Prometheus operator, Jobs of the detector, pinned
// host keys and another namespace. It also deploys the rules a second time, as a Helm release from
// CHART_REPOSITORY.
const app = new App({ stackTraces: false });
const stack = new TerraformStack(app, 'other');
stateBackend(stack, { postgres: Boolean(process.env.PG_CONN_STR), name: 'other' });
new KubernetesProvider(stack, 'kubernetes');
new VaultProvider(stack, 'vault');
new HelmProvider(stack, 'helm');

new UpgradePipeline(stack, 'pipeline', {
  image: 'registry.invalid/k8s-version-upgrade:0.1.0',
  settings: {
    namespace: 'upgrades',
    prometheus: { url: 'http://prometheus.monitoring:9090' },
    pushgateway: { url: 'http://pushgateway.monitoring:9091' },
    ssh: { hostKeys: { policy: 'pinned', known: {} } },
    dispatch: { mode: 'job' },
    drain: { blockedPods: [{ namespaces: ['databases'], wait: '1m', deleteAfter: '1m' }] },
  },
  alerts: {
    runbook: 'https://runbook.invalid',
    target: { kind: 'prometheus-rule', labels: { release: 'kube-prometheus-stack' } },
  },
});

new UpgradeGates(stack, 'chart', {
  namespace: 'upgrades',
  runbook: 'https://runbook.invalid',
  workloads: [],
  minimumPodReadyRatio: 0.9,
  stalledAfterSeconds: 3600,
  detection: true,
  target: {
    kind: 'helm-release',
    release: {
      version: chartVersion,
      repository: process.env.CHART_REPOSITORY ?? '',
      values: [JSON.stringify({ serverFiles: { 'alerting_rules.yml': { groups: [ownGroup] } } })],
    },
  },
});

app.synth();
