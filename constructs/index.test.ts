import type { TerraformStack } from 'cdktf';
import { expect, it } from 'vitest';
import { leastProps, settings, synthesized } from '../test/constructs/synthesis.ts';
import {
  Credentials,
  DetectionCronJob,
  Egress,
  ExecutionCronJob,
  JobPolicy,
  ProgramAccess,
  parseSettings,
  type Resources,
  type Settings,
  SettingsFile,
  type SettingsInput,
  submitterRules,
  UpgradeGates,
  UpgradeNamespace,
} from './index.ts';

it('each part can be used alone', () => {
  const { image } = leastProps;
  const resources: Resources = { cpu: '10m', memory: '64Mi', memoryLimit: '64Mi' };
  const namespace = 'elsewhere';
  const scope = { namespace, hostKeys: 'pinned', dispatch: 'job' } as const;
  const stack = synthesized((scopeStack) => {
    new UpgradeNamespace(scopeStack, 'namespace', { name: namespace });
    new SettingsFile(scopeStack, 'settings', { namespace, settings });
    new ProgramAccess(scopeStack, 'access', {
      ...{ namespace, name: 'submit', component: 'submitter', rules: submitterRules(scope) },
    });
    new Credentials(scopeStack, 'credentials', { namespace, agentTokenPath: false });
    new DetectionCronJob(scopeStack, 'detection', { namespace, image, resources, usesAgentService: false });
    new ExecutionCronJob(scopeStack, 'execution', { namespace, image, priorityClassName: 'high' });
    new JobPolicy(scopeStack, 'job-policy', { namespace, image });
    new Egress(scopeStack, 'egress', { settings: { ...settings, namespace } });
    new UpgradeGates(scopeStack, 'gates', {
      namespace,
      runbook: 'https://runbook.example',
      target: { kind: 'prometheus-rule' },
      workloads: [],
      stalledAfterSeconds: 3600,
      minimumPodReadyRatio: 0.9,
      detection: true,
    });
  });
  expect(stack.types).toEqual([
    'kubernetes_cluster_role_binding_v1',
    'kubernetes_cluster_role_v1',
    'kubernetes_config_map_v1',
    'kubernetes_cron_job_v1',
    'kubernetes_manifest',
    'kubernetes_namespace_v1',
    'kubernetes_network_policy_v1',
    'kubernetes_role_binding_v1',
    'kubernetes_role_v1',
    'kubernetes_service_account_v1',
    'vault_policy',
  ]);
});

const wrong: SettingsInput = { ...settings, timing: { soak: 'ten minutes' } };

it.each([
  [
    'SettingsFile',
    (scope: TerraformStack) => new SettingsFile(scope, 'part', { namespace: 'n', settings: wrong }),
  ],
  ['Egress', (scope: TerraformStack) => new Egress(scope, 'part', { settings: wrong })],
])('%s alone refuses settings that the runtime would refuse', (_, make) => {
  expect(() => synthesized((scope) => void make(scope))).toThrow(/\[stack\/part\] settings: timing\.soak/);
});

it('settings can be read as the runtime reads them, with what the package exports', () => {
  const read: Settings = parseSettings('settings', settings);
  expect(read.namespace).toBe('k8s-upgrade');
});
