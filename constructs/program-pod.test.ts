import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { parseSettings } from '../runtime/src/settings/settings.ts';
import { pipeline, settings } from '../test/constructs/synthesis.ts';

interface PodTemplate {
  readonly spec: {
    readonly container: readonly Record<string, unknown>[];
    readonly security_context: Record<string, unknown>;
    readonly volume: readonly { readonly name: string; readonly secret?: Record<string, unknown> }[];
    readonly toleration?: unknown;
    readonly priority_class_name?: string;
    readonly image_pull_secrets?: unknown;
    readonly service_account_name: string;
    readonly restart_policy: string;
  };
}

interface CronJob {
  readonly metadata: { readonly labels: Record<string, string>; readonly namespace: string };
  readonly spec: {
    readonly [key: string]: unknown;
    readonly job_template: {
      readonly spec: { readonly [key: string]: unknown; readonly template: PodTemplate };
    };
  };
}

const stack = pipeline();
const cronJob = (name: string, from = stack) =>
  from.named('kubernetes_cron_job_v1', name) as unknown as CronJob;
const detection = cronJob('k8s-version-check');
const execution = cronJob('k8s-version-upgrade');

describe('the detection CronJob', () => {
  it('runs on Sunday at noon UTC, one at a time, and leaves a trace of bounded size', () => {
    expect(detection.spec).toMatchObject({
      schedule: '0 12 * * 0',
      timezone: 'Etc/UTC',
      suspend: false,
      concurrency_policy: 'Forbid',
      starting_deadline_seconds: 21_600,
      successful_jobs_history_limit: 3,
      failed_jobs_history_limit: 3,
    });
    expect(detection.spec.job_template.spec).toMatchObject({
      // More than runtime/src/detect/observe.ts gives the package list.
      active_deadline_seconds: 1800,
      backoff_limit: 2,
      ttl_seconds_after_finished: '604800',
    });
  });

  it('is suspended when the pipeline is not enabled', () => {
    expect(cronJob('k8s-version-check', pipeline({ enabled: false })).spec.suspend).toBe(true);
  });

  it('runs `detect` as its own account with the credentials that it reads', () => {
    const { spec } = detection.spec.job_template.spec.template;
    expect(spec.service_account_name).toBe('k8s-version-check');
    expect(spec.container[0]?.args).toEqual([
      'detect',
      '--settings',
      '/etc/k8s-upgrade/settings/settings.yaml',
    ]);
    expect(secretItems(detection)).toEqual(['ssh_key', 'slack_webhook', 'api_bearer_token']);
  });

  it('says what it needs, and is bounded in memory', () => {
    expect(detection.spec.job_template.spec.template.spec.container[0]?.resources).toEqual({
      requests: { cpu: '50m', memory: '96Mi' },
      limits: { memory: '256Mi' },
    });
  });

  it('needs no token of the agent service when it dispatches Jobs', () => {
    const direct = pipeline({ settings: { ...settings, dispatch: { mode: 'job' } } });
    expect(secretItems(cronJob('k8s-version-check', direct))).toEqual(['ssh_key', 'slack_webhook']);
  });
});

it('asks for no webhook where nothing is written to Slack', () => {
  const quiet = pipeline({ settings: { ...settings, slack: { enabled: false } } });
  expect(secretItems(cronJob('k8s-version-check', quiet))).toEqual(['ssh_key', 'api_bearer_token']);
  expect(secretItems(cronJob('k8s-version-upgrade', quiet))).toEqual(['ssh_key']);
  expect(JSON.stringify(quiet)).not.toContain('slack_webhook');
});

describe('the execution CronJob', () => {
  it('is a template that never runs by itself', () => {
    expect(execution.spec).toMatchObject({ suspend: true, concurrency_policy: 'Forbid' });
  });

  it('starts again after crashes and disruptions, and not after an outcome (F5, F15)', () => {
    expect(execution.spec.job_template.spec).toMatchObject({
      backoff_limit: 6,
      pod_failure_policy: {
        rule: [
          { action: 'Ignore', on_pod_condition: [{ type: 'DisruptionTarget', status: 'True' }] },
          {
            action: 'FailJob',
            on_exit_codes: { container_name: 'run', operator: 'In', values: [1, 2, 3] },
          },
        ],
      },
    });
    // A podFailurePolicy is only allowed with this.
    expect(execution.spec.job_template.spec.template.spec.restart_policy).toBe('Never');
  });

  it('has no deadline: a rollout takes as long as its nodes', () => {
    expect(execution.spec.job_template.spec.active_deadline_seconds).toBeUndefined();
  });

  it('knows its node, tolerates the control plane, and is not evicted under pressure (F1, F4)', () => {
    const { spec } = execution.spec.job_template.spec.template;
    expect(spec.container[0]?.env).toEqual([
      { name: 'NODE_NAME', value_from: { field_ref: { field_path: 'spec.nodeName' } } },
      { name: 'POD_NAME', value_from: { field_ref: { field_path: 'metadata.name' } } },
    ]);
    expect(spec.toleration).toEqual([
      { key: 'node-role.kubernetes.io/control-plane', operator: 'Exists', effect: 'NoSchedule' },
    ]);
    const [priority] = stack.resources('kubernetes_priority_class_v1');
    expect(priority).toMatchObject({
      metadata: { name: spec.priority_class_name },
      value: 1_000_000,
      preemption_policy: 'Never',
    });
  });

  it('uses no memory above its request, by which the kubelet evicts before it looks at priority (F1)', () => {
    expect(execution.spec.job_template.spec.template.spec.container[0]?.resources).toEqual({
      requests: { cpu: '50m', memory: '256Mi' },
      limits: { memory: '256Mi' },
    });
  });

  it('sees neither the agent service’s token nor the public key', () => {
    expect(secretItems(execution)).toEqual(['ssh_key', 'slack_webhook']);
  });
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

  it('mount everything read-only, the credentials for their group alone', () => {
    const mounts = template.spec.container[0]?.volume_mount as { name: string; read_only: boolean }[];
    expect(mounts.map((m) => [m.name, m.read_only])).toEqual([
      ['settings', true],
      ['credentials', true],
    ]);
    expect(template.spec.volume.find((v) => v.name === 'credentials')?.secret).toMatchObject({
      secret_name: 'k8s-upgrade-creds',
      default_mode: '0440',
    });
    // They are root's: without the group, a user other than root could read none of them.
    expect(template.spec.security_context.fs_group).toBe('1000');
  });

  it('carry the label by which people find them', () => {
    expect(job.metadata.labels.app).toBe(name);
  });
});

describe('what a cluster may ask of both programs', () => {
  const podOf = (name: string, from: typeof stack) =>
    cronJob(name, from).spec.job_template.spec.template.spec;

  it('resources of each', () => {
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

  it('a PriorityClass that is there already, for the executor, and then none of its own', () => {
    const own = pipeline({ priorityClassName: 'cluster-services' });
    expect(podOf('k8s-version-upgrade', own).priority_class_name).toBe('cluster-services');
    expect(podOf('k8s-version-check', own).priority_class_name).toBeUndefined();
    expect(own.types).not.toContain('kubernetes_priority_class_v1');
  });

  it('a login at the image’s registry', () => {
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

describe('the namespace', () => {
  const [namespace] = stack.resources('kubernetes_namespace_v1');
  it('enforces Pod Security `restricted`', () => {
    expect(namespace?.metadata).toMatchObject({
      name: 'k8s-upgrade',
      labels: { 'pod-security.kubernetes.io/enforce': 'restricted' },
    });
  });

  it('keeps the annotations of a rollout through an apply', () => {
    expect(namespace?.lifecycle).toEqual({ ignore_changes: ['metadata[0].annotations'] });
  });
});

describe('the settings', () => {
  it('are read by the runtime as they were written', () => {
    const written = { ...settings, timing: { soak: '7m' }, dispatch: { mode: 'job' } } as const;
    const synth = pipeline({ settings: written, detectionDryRun: true });
    const map = synth.named('kubernetes_config_map_v1', 'k8s-upgrade-settings') as {
      data: Record<string, string>;
    };
    const read = parseSettings('settings.yaml', parse(map.data['settings.yaml'] ?? ''));
    expect(read.timing.soak).toBe(420_000);
    expect(read.dispatch).toMatchObject({ mode: 'job', dryRun: true });
  });

  it('reach the cluster as they are, whatever Terraform would make of them', () => {
    const deny = [{ version: '1.35.0', reason: `breaks on \${KUBELET_KUBEADM_ARGS} and 5%{x}` }];
    const map = pipeline({ settings: { ...settings, policy: { deny } } }).named(
      'kubernetes_config_map_v1',
      'k8s-upgrade-settings',
    ) as { data: Record<string, string> };
    expect(map.data['settings.yaml']).toContain(`$\${KUBELET_KUBEADM_ARGS} and 5%%{x}`);
  });
});

it('labels every object', () => {
  const labelled = stack.all.map(
    (body) => body.metadata ?? (body.manifest as typeof body | undefined)?.metadata,
  );
  for (const metadata of labelled.filter((m) => m !== undefined)) {
    expect(metadata).toMatchObject({
      labels: {
        'app.kubernetes.io/name': 'k8s-version-upgrade',
        'app.kubernetes.io/part-of': 'k8s-version-upgrade',
        'app.kubernetes.io/managed-by': 'terraform',
      },
    });
  }
  expect(labelled.length).toBeGreaterThan(20);
});

function secretItems(job: CronJob): string[] {
  const { volume } = job.spec.job_template.spec.template.spec;
  const items = volume.find((v) => v.name === 'credentials')?.secret?.items as {
    key: string;
    path: string;
  }[];
  return items.map(({ key, path }) => {
    expect(path).toBe(key);
    return key;
  });
}
