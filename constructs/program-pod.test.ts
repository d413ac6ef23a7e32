import { describe, expect, it } from 'vitest';
import { cronJob, secretItems } from '../test/constructs/cron-jobs.ts';
import { pipeline, settings } from '../test/constructs/synthesis.ts';

const stack = pipeline();
const detection = cronJob('k8s-version-check');
const execution = cronJob('k8s-version-upgrade');

it('the pods mount no webhook when Slack is disabled', () => {
  const quiet = pipeline({ settings: { ...settings, slack: { enabled: false } } });
  expect(secretItems(cronJob('k8s-version-check', quiet))).toEqual(['ssh_key', 'api_bearer_token']);
  expect(secretItems(cronJob('k8s-version-upgrade', quiet))).toEqual(['ssh_key']);
  expect(JSON.stringify(quiet)).not.toContain('slack_webhook');
});

describe.each([
  ['k8s-version-check', detection],
  ['k8s-version-upgrade', execution],
])('the pods of %s', (name, job) => {
  const { template } = job.spec.job_template.spec;
  it('pass Pod Security `restricted`', () => {
    expect(template.spec.security_context).toMatchObject({
      run_as_non_root: true,
      run_as_user: '1000',
      seccomp_profile: { type: 'RuntimeDefault' },
    });
    expect(template.spec.container).toHaveLength(1);
    expect(template.spec.container[0]?.security_context).toEqual({
      run_as_non_root: true,
      allow_privilege_escalation: false,
      read_only_root_filesystem: true,
      capabilities: { drop: ['ALL'] },
    });
  });

  it('mount everything read-only, the credentials readable by the pod’s group only', () => {
    const mounts = template.spec.container[0]?.volume_mount as { name: string; read_only: boolean }[];
    expect(mounts.map((m) => [m.name, m.read_only])).toEqual([
      ['settings', true],
      ['credentials', true],
    ]);
    expect(template.spec.volume.find((v) => v.name === 'credentials')?.secret).toMatchObject({
      secret_name: 'k8s-upgrade-creds',
      default_mode: '0440',
    });
    // Root owns them: without the group, the pod's user could read none of them.
    expect(template.spec.security_context.fs_group).toBe('1000');
  });

  it('carry the label by which people find them', () => {
    expect(job.metadata.labels.app).toBe(name);
  });
});

describe('a cluster can choose', () => {
  const podOf = (name: string, from: typeof stack) =>
    cronJob(name, from).spec.job_template.spec.template.spec;

  it('the resources of each program', () => {
    const small = { cpu: '10m', memory: '64Mi', memoryLimit: '128Mi' };
    const large = { cpu: '100m', memory: '512Mi', memoryLimit: '512Mi' };
    const own = pipeline({ resources: { detection: small, execution: large } });
    expect(podOf('k8s-version-check', own).container[0]?.resources).toEqual({
      requests: { cpu: '10m', memory: '64Mi' },
      limits: { memory: '128Mi' },
    });
    expect(podOf('k8s-version-upgrade', own).container[0]?.resources).toEqual({
      requests: { cpu: '100m', memory: '512Mi' },
      limits: { memory: '512Mi' },
    });
    const one = pipeline({ resources: { execution: large } });
    expect(podOf('k8s-version-check', one)).toEqual(detection.spec.job_template.spec.template.spec);
  });

  it('an existing PriorityClass for the executor, so that none is created', () => {
    const own = pipeline({ priorityClassName: 'cluster-services' });
    expect(podOf('k8s-version-upgrade', own).priority_class_name).toBe('cluster-services');
    expect(podOf('k8s-version-check', own).priority_class_name).toBeUndefined();
    expect(own.types).not.toContain('kubernetes_priority_class_v1');
  });

  it('Secrets to log in to the image’s registry', () => {
    const own = pipeline({ imagePullSecrets: ['registry-login', 'mirror-login'] });
    for (const name of ['k8s-version-check', 'k8s-version-upgrade']) {
      expect(podOf(name, own).image_pull_secrets).toEqual([
        { name: 'registry-login' },
        { name: 'mirror-login' },
      ]);
      expect(podOf(name, stack).image_pull_secrets).toBeUndefined();
    }
  });
});
