import { describe, expect, it } from 'vitest';
import { cronJob, secretItems } from '../test/constructs/cron-jobs.ts';
import { pipeline } from '../test/constructs/synthesis.ts';

const stack = pipeline();
const execution = cronJob('k8s-version-upgrade');

describe('the execution CronJob', () => {
  it('is a template that never runs by itself', () => {
    expect(execution.spec).toMatchObject({ suspend: true, concurrency_policy: 'Forbid' });
  });

  it('retries after crashes and disruptions, and not after an outcome (F5, F15)', () => {
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
    // Required by a podFailurePolicy.
    expect(execution.spec.job_template.spec.template.spec.restart_policy).toBe('Never');
  });

  it('has no deadline, as the length of a rollout depends on the number of nodes', () => {
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

  it('limits memory to its request: the kubelet first evicts pods above it, whatever their priority (F1)', () => {
    expect(execution.spec.job_template.spec.template.spec.container[0]?.resources).toEqual({
      requests: { cpu: '50m', memory: '256Mi' },
      limits: { memory: '256Mi' },
    });
  });

  it('mounts neither the agent service’s token nor the public key', () => {
    expect(secretItems(execution)).toEqual(['ssh_key', 'slack_webhook']);
  });
});
