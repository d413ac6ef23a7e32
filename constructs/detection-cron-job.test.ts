import { describe, expect, it } from 'vitest';
import { cronJob, secretItems } from '../test/constructs/cron-jobs.ts';
import { pipeline, settings } from '../test/constructs/synthesis.ts';

const detection = cronJob('k8s-version-check');

describe('the detection CronJob', () => {
  it('runs on Sunday at noon UTC, one at a time, and keeps a limited number of Jobs', () => {
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
      // Longer than the limit of runtime/src/detect/observe.ts for listing packages.
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

  it('requests CPU and memory, and limits its memory', () => {
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
