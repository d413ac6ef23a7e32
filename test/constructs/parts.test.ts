import { expect, it } from 'vitest';
import {
  Credentials,
  DetectionCronJob,
  ExecutionCronJob,
  ProgramAccess,
  SettingsFile,
  submitterRules,
  UpgradeGates,
  UpgradeNamespace,
} from '../../constructs/index.ts';
import { leastProps, settings, synthesized } from './synthesis.ts';

it('each part can be used alone', () => {
  const { image } = leastProps;
  const namespace = 'elsewhere';
  const scope = { namespace, hostKeys: 'pinned', dispatch: 'job' } as const;
  const stack = synthesized((scopeStack) => {
    new UpgradeNamespace(scopeStack, 'namespace', { name: namespace });
    new SettingsFile(scopeStack, 'settings', { namespace, settings });
    new ProgramAccess(scopeStack, 'access', {
      ...{ namespace, name: 'submit', component: 'submitter', rules: submitterRules(scope) },
    });
    new Credentials(scopeStack, 'credentials', { namespace, agentTokenPath: false });
    new DetectionCronJob(scopeStack, 'detection', { namespace, image, usesAgentService: false });
    new ExecutionCronJob(scopeStack, 'execution', { namespace, image, priorityClassName: 'high' });
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
    'kubernetes_role_binding_v1',
    'kubernetes_role_v1',
    'kubernetes_service_account_v1',
    'vault_policy',
  ]);
});
