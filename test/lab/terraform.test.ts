import type { V1CronJob, V1NetworkPolicy, V1Role } from '@kubernetes/client-node';
import { describe, expect, it } from 'vitest';
import { labObjects } from './stack.ts';
import { kubernetesObjects } from './terraform.ts';

const settings = {
  namespace: 'lab',
  prometheus: { url: 'http://127.0.0.1:9090' },
  pushgateway: { url: 'http://127.0.0.1:9091' },
};

describe('kubernetesObjects', () => {
  const objects = labObjects(settings);
  const find = <T>(kind: string, name: string): T => {
    const found = objects.find((o) => o.kind === kind && o.metadata?.name === name);
    if (!found) throw new Error(`no ${kind} ${name}`);
    return found as T;
  };

  it('converts the pod template to the form of the API', () => {
    const cronJob = find<V1CronJob>('CronJob', 'k8s-version-upgrade');
    const template = cronJob.spec?.jobTemplate.spec?.template.spec;
    expect(cronJob.spec?.timeZone).toBe('Etc/UTC');
    expect(cronJob.spec?.jobTemplate.spec?.ttlSecondsAfterFinished).toBe(604_800);
    expect(template?.securityContext?.runAsUser).toBe(1000);
    expect(template?.containers[0]?.args).toEqual([
      'run',
      '--settings',
      '/etc/k8s-upgrade/settings/settings.yaml',
    ]);
    expect(template?.containers[0]?.resources?.limits).toEqual({ memory: '256Mi' });
    expect(template?.volumes?.find((v) => v.name === 'credentials')?.secret?.defaultMode).toBe(0o440);
    expect(cronJob.spec?.jobTemplate.spec?.podFailurePolicy?.rules[1]).toEqual({
      action: 'FailJob',
      onExitCodes: { containerName: 'run', operator: 'In', values: [1, 2, 3] },
    });
    expect(cronJob.metadata?.labels?.['app.kubernetes.io/component']).toBe('executor');
  });

  it('converts roles with their rules', () => {
    expect(find<V1Role>('Role', 'k8s-version-upgrade').rules).toContainEqual({
      apiGroups: ['coordination.k8s.io'],
      resources: ['leases'],
      verbs: ['get', 'update'],
      resourceNames: ['k8s-version-upgrade'],
    });
  });

  it('converts network policies with ports in the form of the API', () => {
    const { spec } = find<V1NetworkPolicy>('NetworkPolicy', 'k8s-version-upgrade');
    expect(spec?.egress?.[0]?.ports).toEqual([
      { port: 53, protocol: 'UDP' },
      { port: 53, protocol: 'TCP' },
    ]);
    expect(spec?.egress?.[2]).toEqual({
      to: [{ ipBlock: { cidr: '127.0.0.1/32' } }],
      ports: [{ port: 9091, protocol: 'TCP' }],
    });
  });

  it('refuses a resource that it does not know, so that none is missed', () => {
    const stack = JSON.stringify({ resource: { kubernetes_ingress_v1: { x: {} } } });
    expect(() => kubernetesObjects(stack)).toThrow('kubernetes_ingress_v1');
  });

  it('leaves out resources of other providers and arguments for Terraform itself', () => {
    const stack = JSON.stringify({
      resource: {
        vault_policy: { p: { name: 'p' } },
        kubernetes_namespace_v1: {
          n: { metadata: { name: 'n', labels: { a_b: 'c' } }, lifecycle: { ignore_changes: ['metadata'] } },
        },
      },
    });
    expect(kubernetesObjects(stack)).toEqual([
      { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'n', labels: { a_b: 'c' } } },
    ]);
  });
});
