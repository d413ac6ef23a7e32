import { ApiException, type V1CronJob, type V1Job } from '@kubernetes/client-node';
import { describe, expect, it } from 'vitest';
import { ApiError } from '../cluster/api-error.ts';
import type { KubernetesClient } from '../cluster/client.ts';
import { nodeCheck } from './node-check.ts';

const template: V1CronJob = {
  spec: {
    schedule: '0 0 1 1 *',
    jobTemplate: {
      metadata: { labels: { app: 'k8s-node-check' } },
      spec: { backoffLimit: 6, template: { spec: { containers: [{ name: 'check-node' }] } } },
    },
  },
};

/** A check of nodes with this template in the cluster; what it creates and says. */
function checkWith(found: V1CronJob | undefined, dryRun = false) {
  const created: V1Job[] = [];
  const notices: string[] = [];
  const client = {
    call: async () => {
      if (found === undefined) throw new ApiError('read CronJob', new ApiException(404, 'not found', {}, {}));
      return found;
    },
  } as unknown as KubernetesClient;
  const check = nodeCheck({
    ...{ client, dryRun, namespace: 'k8s-upgrade', unschedulable: 1, timeLimit: 690_000 },
    signal: new AbortController().signal,
    writer: {
      async createJob(job) {
        created.push(job);
        return job;
      },
    },
    onNotice: (text) => notices.push(text),
  });
  return { check, created, notices };
}

describe('F34: the Job of a node check', () => {
  it('runs on its node alone, ends by itself, and is none of a run', async () => {
    const { check, created } = checkWith(template);
    const name = await check.start('k8s-node1');
    const [job] = created;
    expect(name).toMatch(/^k8s-node-check-[0-9a-f]{8}$/);
    expect(job).toMatchObject({
      metadata: { name, labels: { app: 'k8s-node-check' } },
      spec: { backoffLimit: 6, activeDeadlineSeconds: 690 },
    });
    expect(job?.spec?.template.spec?.affinity?.nodeAffinity).toEqual({
      requiredDuringSchedulingIgnoredDuringExecution: {
        nodeSelectorTerms: [
          { matchFields: [{ key: 'metadata.name', operator: 'In', values: ['k8s-node1'] }] },
        ],
      },
    });
    expect(Object.keys(job?.metadata?.labels ?? {})).toEqual(['app']);
  });

  it('has another name each time, so that an earlier one is never mistaken for it', async () => {
    const { check } = checkWith(template);
    expect(await check.start('k8s-node1')).not.toBe(await check.start('k8s-node1'));
  });

  it('is not waited for in a dry-run, which only asks whether it would be admitted', async () => {
    const { check, created } = checkWith(template, true);
    expect(await check.start('k8s-node1')).toBeUndefined();
    expect(created).toHaveLength(1);
  });

  it('is left out without its template, as on a workstation; that is said once', async () => {
    const { check, created, notices } = checkWith(undefined);
    expect([await check.start('k8s-node1'), await check.start('k8s-node2')]).toEqual([undefined, undefined]);
    expect(created).toEqual([]);
    expect(notices).toEqual([
      expect.stringMatching(/CronJob k8s-upgrade\/k8s-node-check, .* does not exist$/),
    ]);
  });
});
