import type { V1CronJob, V1Job, V1Pod } from '@kubernetes/client-node';
import { describe, expect, it, test } from 'vitest';
import { jobLabels } from '../names.ts';
import {
  buildJob,
  hasFailed,
  isActive,
  jobAffinity,
  jobNumberOf,
  runOf,
  unscheduledDue,
  unscheduledReason,
} from './job.ts';

const template = {
  metadata: { name: 'k8s-version-upgrade', namespace: 'k8s-upgrade' },
  spec: {
    schedule: '0 0 31 2 *',
    suspend: true,
    jobTemplate: {
      metadata: { labels: { app: 'upgrade' }, annotations: { note: 'kept' } },
      spec: {
        backoffLimit: 6,
        template: {
          metadata: { labels: { app: 'upgrade' }, annotations: { pod: 'kept' } },
          spec: {
            serviceAccountName: 'k8s-version-upgrade',
            restartPolicy: 'Never',
            affinity: { podAntiAffinity: {} },
            containers: [
              { name: 'upgrade', image: 'upgrade:1', args: ['run', '--settings', 'file'] },
              { name: 'sidecar', image: 'sidecar:1', args: ['as', 'it', 'is'] },
            ],
          },
        },
      },
    },
  },
} satisfies V1CronJob;
const spec = { runId: '1-34-5-abc', jobNumber: 2, args: ['--leg', '2'], affinity: jobAffinity(['a'], ['b']) };

describe('a Job of the run', () => {
  it('is the Job that kubectl would create from the CronJob, with its own labels, arguments and placement', () => {
    const before = structuredClone(template);
    const job = buildJob(template, spec);
    const labels = { app: 'upgrade', [jobLabels.run]: '1-34-5-abc', [jobLabels.number]: '2' };
    expect(job).toEqual({
      apiVersion: 'batch/v1',
      kind: 'Job',
      metadata: {
        name: expect.stringMatching(/^k8s-version-upgrade-2-[0-9a-f]{8}$/),
        labels,
        annotations: { note: 'kept', 'cronjob.kubernetes.io/instantiate': 'manual' },
      },
      spec: {
        backoffLimit: 6,
        template: {
          metadata: { labels, annotations: { pod: 'kept' } },
          spec: {
            ...template.spec.jobTemplate.spec.template.spec,
            affinity: { podAntiAffinity: {}, ...spec.affinity },
            containers: [
              { name: 'upgrade', image: 'upgrade:1', args: ['run', '--settings', 'file', '--leg', '2'] },
              { name: 'sidecar', image: 'sidecar:1', args: ['as', 'it', 'is'] },
            ],
          },
        },
      },
    });
    expect(template).toEqual(before);
  });

  it('has a new name each time, so that a failed Job never blocks the next one (F6)', () => {
    const names = Array.from({ length: 50 }, () => buildJob(template, spec).metadata?.name);
    expect(new Set(names).size).toBe(50);
  });

  it('has a name that is valid for a Job and as a label value of its pods', () => {
    expect(buildJob(template, { ...spec, jobNumber: 99 }).metadata?.name).toMatch(
      /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/,
    );
  });

  test.each([
    [
      'no container',
      {
        ...template,
        spec: { ...template.spec, jobTemplate: { spec: { template: { spec: { containers: [] } } } } },
      },
    ],
    ['no spec', { metadata: template.metadata }],
  ])('cannot be built from a CronJob with %s', (_what, cronJob) => {
    expect(() => buildJob(cronJob as V1CronJob, spec)).toThrow(
      'CronJob k8s-version-upgrade has no container',
    );
  });
});

describe('where a Job may run', () => {
  const key = 'kubernetes.io/hostname';
  const required = (values: string[]) => ({
    requiredDuringSchedulingIgnoredDuringExecution: {
      nodeSelectorTerms: [{ matchExpressions: [{ key, operator: 'NotIn', values }] }],
    },
  });
  const preferred = (values: string[]) => ({
    preferredDuringSchedulingIgnoredDuringExecution: [
      { weight: 100, preference: { matchExpressions: [{ key, operator: 'In', values }] } },
    ],
  });
  test.each([
    [['a', 'b'], ['c'], { ...required(['a', 'b']), ...preferred(['c']) }],
    [['a'], [], required(['a'])],
    [[], ['c'], preferred(['c'])],
    [[], [], {}],
  ])('drains %j, prefers %j (F1)', (drains, prefers, nodeAffinity) => {
    expect(jobAffinity(drains, prefers)).toEqual({ nodeAffinity });
  });
});

describe('reading a Job', () => {
  const job = (...conditions: [string, string][]): V1Job => ({
    metadata: { labels: { [jobLabels.run]: 'r', [jobLabels.number]: '3' } },
    status: { conditions: conditions.map(([type, status]) => ({ type, status })) },
  });
  test.each([
    ['new', {} as V1Job, true, false],
    ['complete', job(['Complete', 'True']), false, false],
    ['failed (F6)', job(['Failed', 'True']), false, true],
    ['failing', job(['FailureTarget', 'True']), true, false],
    ['not complete', job(['Complete', 'False']), true, false],
  ])('in the state "%s": active %s, failed %s', (_what, given, active, failed) => {
    expect([isActive(given), hasFailed(given)]).toEqual([active, failed]);
  });

  it('reads its run and its number', () => {
    expect([runOf(job()), jobNumberOf(job()), runOf({}), jobNumberOf({})]).toEqual(['r', 3, '', 0]);
  });
});

describe('why a pod is not scheduled (F4)', () => {
  const pod = (condition: object): V1Pod => ({
    status: {
      conditions: [
        { type: 'Ready', status: 'False' },
        { type: 'PodScheduled', status: 'False', ...condition },
      ],
    },
  });
  test.each([
    [pod({ message: '0/5 nodes are available', reason: 'Unschedulable' }), '0/5 nodes are available'],
    [pod({ reason: 'Unschedulable' }), 'Unschedulable'],
    [pod({}), 'the scheduler has not processed it'],
    [{}, 'the scheduler has not processed it'],
    [undefined, 'no pod was created for it; check quotas and admission'],
  ])('%j', (given, reason) => {
    expect(unscheduledReason(given)).toBe(reason);
  });

  const created = { metadata: { creationTimestamp: new Date(1_000_000) } };
  test.each([
    ['is unscheduled', { ...created, status: { phase: 'Pending' } }, 1_000_500],
    ['is scheduled', { ...created, spec: { nodeName: 'one', containers: [] } }, undefined],
    ['has ended', { ...created, status: { phase: 'Failed' } }, undefined],
  ])('a pod that %s has to be reported at: %s', (_what, given, due) => {
    expect(unscheduledDue(given, 500)).toBe(due);
  });
});
