import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Job, Pod } from '../types.ts';
import { job, namespace } from './objects.ts';
import type { Rest } from './rest.ts';
import type { StartTarget, Target } from './target.ts';

const batch = '/apis/batch/v1/namespaces/jobs';
const pods = '/api/v1/namespaces/jobs/pods';

const jobPolicy = {
  podFailurePolicy: {
    rules: [
      { action: 'Ignore', onPodConditions: [{ type: 'DisruptionTarget', status: 'True' }] },
      { action: 'FailJob', onExitCodes: { operator: 'In', values: [1, 2, 3] } },
    ],
  },
  backoffLimit: 6,
};

/** Jobs: completion, failure policy, back-off, eviction, deadline, suspension, deletion. */
export function describeJobs(start: StartTarget): void {
  describe('jobs', () => {
    let target: Target;
    let rest: Rest;
    beforeAll(async () => {
      target = await start();
      rest = target.rest;
      await rest.create([namespace('jobs')]);
      await rest.eventually(
        '/api/v1/namespaces/jobs/serviceaccounts/default',
        (found) => found !== undefined,
      );
      await Promise.all([target.addNode('one'), target.addNode('two')]);
    });
    afterAll(() => target?.stop());

    const create = (name: string, script: string, spec: object = {}, podSpec: object = {}): Promise<Job> =>
      rest.ok('POST', `${batch}/jobs`, job(name, 'jobs', script, spec, podSpec));
    const conditionOf = (found: Job, type: string) =>
      found?.status?.conditions?.find((c) => c.type === type && c.status === 'True');
    const ends = (name: string, type: 'Complete' | 'Failed'): Promise<Job> =>
      rest.eventually(`${batch}/jobs/${name}`, (found) => conditionOf(found, type) !== undefined);
    const podsOf = async (name: string): Promise<Pod[]> =>
      (await rest.get(`${pods}?labelSelector=job-name%3D${name}`)).items;
    /** The first pod of the Job that satisfies `test`, now or later. */
    const pod = async (name: string, test: (found: Pod) => boolean): Promise<Pod> => {
      const list = await rest.eventually(`${pods}?labelSelector=job-name%3D${name}`, ({ items }) =>
        items.some(test),
      );
      return list.items.find(test);
    };
    const log = async (name: string): Promise<string> => rest.get(`${pods}/${name}/log`);
    const untilLogged = (name: string, text: string) =>
      rest.eventually(`${pods}/${name}/log`, (found) => typeof found === 'string' && found.includes(text));
    const running = (name: string, not = '') =>
      pod(
        name,
        ({ status, metadata }) =>
          status?.phase === 'Running' && metadata.uid !== not && metadata.deletionTimestamp === undefined,
      );

    it('run to completion, with their arguments and environment', async () => {
      const env = [
        { name: 'POD', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } },
        { name: 'NODE', valueFrom: { fieldRef: { fieldPath: 'spec.nodeName' } } },
      ];
      const command = ['/bin/bash', '-c', 'echo "$1 on $NODE"', 'x'];
      const containers = [{ name: 'main', image: 'lab/sh:1', command, args: ['hello $(POD) $$(POD)'], env }];
      const { metadata } = await create('hello', '', {}, { containers });
      const done = await ends('hello', 'Complete');
      expect(done.status).toMatchObject({ succeeded: 1, completionTime: expect.any(String) });
      expect(conditionOf(done, 'Complete')?.reason).toBe('CompletionsReached');
      expect(done.spec).toMatchObject({ completions: 1, parallelism: 1, backoffLimit: 6, suspend: false });
      const [one] = await podsOf('hello');
      expect(await log(one?.metadata.name ?? '')).toBe(
        `hello ${one?.metadata.name} $(POD) on ${one?.spec?.nodeName}\n`,
      );
      expect(one?.status).toMatchObject({
        phase: 'Succeeded',
        containerStatuses: [{ state: { terminated: { exitCode: 0, reason: 'Completed' } } }],
      });
      expect(one?.metadata).toMatchObject({
        generateName: 'hello-',
        labels: {
          'batch.kubernetes.io/job-name': 'hello',
          'job-name': 'hello',
          'batch.kubernetes.io/controller-uid': metadata.uid,
          'controller-uid': metadata.uid,
        },
        ownerReferences: [
          {
            apiVersion: 'batch/v1',
            kind: 'Job',
            name: 'hello',
            uid: metadata.uid,
            controller: true,
            blockOwnerDeletion: true,
          },
        ],
      });
    });

    it('fail immediately on an exit code in their failure policy', async () => {
      await create('blocked', 'exit 3', jobPolicy);
      const done = await ends('blocked', 'Failed');
      const [failed, ...others] = await podsOf('blocked');
      expect(others).toEqual([]);
      expect(done.status?.failed).toBe(1);
      expect(conditionOf(done, 'Failed')).toMatchObject({
        reason: 'PodFailurePolicy',
        message: `Container main for pod jobs/${failed?.metadata.name} failed with exit code 3 matching FailJob rule at index 1`,
      });
    });

    it('start a new pod after the process was killed', async () => {
      const marker = join(target.dir, 'second-attempt');
      await create('crash', `[ -e ${marker} ] && exit 0; touch ${marker}; echo up; sleep 60`, jobPolicy);
      const first = await running('crash');
      await untilLogged(first.metadata.name, 'up');
      target.killForMemory(first.metadata.name);
      const done = await ends('crash', 'Complete');
      expect(done.status).toMatchObject({ failed: 1, succeeded: 1 });
      const dead = (await podsOf('crash')).find(({ metadata }) => metadata.uid === first.metadata.uid);
      expect(dead?.status?.containerStatuses?.[0]?.state?.terminated).toMatchObject({
        exitCode: 137,
        reason: 'OOMKilled',
      });
    });

    it('fail at the back-off limit', async () => {
      await create('hopeless', 'exit 9', { ...jobPolicy, backoffLimit: 0 });
      const done = await ends('hopeless', 'Failed');
      expect(done.status?.failed).toBe(1);
      expect(conditionOf(done, 'Failed')).toMatchObject({
        reason: 'BackoffLimitExceeded',
        message: 'Job has reached the specified backoff limit',
      });
    });

    it('replace an evicted pod after it has handled SIGTERM and ended, without counting a failure', async () => {
      const script = "trap 'echo stopping; exit 143' TERM; echo up; sleep 60 & wait";
      await create('evicted', script, jobPolicy);
      const first = await running('evicted');
      const { name } = first.metadata;
      await untilLogged(name, 'up');
      const metadata = { name, namespace: 'jobs' };
      await rest.ok('POST', `${pods}/${name}/eviction`, { metadata });
      const second = await running('evicted', first.metadata.uid);
      expect(second.metadata.name).not.toBe(name);
      expect((await podsOf('evicted')).map((one) => one.metadata.name)).toEqual([second.metadata.name]);
      const found: Job = await rest.get(`${batch}/jobs/evicted`);
      expect(found.status?.failed ?? 0).toBe(0);
      expect(found.status?.active).toBe(1);
      await rest.ok('DELETE', `${batch}/jobs/evicted?propagationPolicy=Background`);
    });

    it('stop their pods when they are suspended', async () => {
      await create('paused', 'echo up; sleep 60', {}, { terminationGracePeriodSeconds: 1 });
      const first = await running('paused');
      await rest.patch(`${batch}/jobs/paused`, { spec: { suspend: true } });
      await rest.eventually(`${pods}/${first.metadata.name}`, (found) => found === undefined);
      const found = await rest.eventually(
        `${batch}/jobs/paused`,
        (one) => conditionOf(one, 'Suspended') !== undefined,
      );
      expect(conditionOf(found, 'Suspended')).toMatchObject({
        reason: 'JobSuspended',
        message: 'Job suspended',
      });
    });

    it('fail at their deadline, and are deleted after their time to live', async () => {
      const spec = { activeDeadlineSeconds: 1 };
      await create('late', 'sleep 60', spec, { terminationGracePeriodSeconds: 1 });
      const done = await ends('late', 'Failed');
      expect(conditionOf(done, 'Failed')).toMatchObject({
        reason: 'DeadlineExceeded',
        message: 'Job was active longer than specified deadline',
      });
      await rest.patch(`${batch}/jobs/late`, { spec: { ttlSecondsAfterFinished: 0 } });
      await rest.eventually(`${batch}/jobs/late`, (found) => found === undefined);
      await rest.eventually(`${pods}?labelSelector=job-name%3Dlate`, ({ items }) => items.length === 0);
    });

    it('refuse a change of their template', async () => {
      const { metadata } = await create('fixed', 'exit 0');
      const containers = [{ name: 'main', image: 'lab/sh:2' }];
      const { code, body } = await rest.send(
        'PATCH',
        `${batch}/jobs/${metadata.name}`,
        { spec: { template: { spec: { containers } } } },
        'application/merge-patch+json',
      );
      expect([code, body.reason]).toEqual([422, 'Invalid']);
      expect(body.message).toContain('spec.template');
      expect(body.message).toContain('field is immutable');
    });

    it('are deleted with their pods in the background, and without them by default', async () => {
      await create('background', 'sleep 60', {}, { terminationGracePeriodSeconds: 0 });
      const first = await running('background');
      await rest.ok('DELETE', `${batch}/jobs/background?propagationPolicy=Background`);
      expect(await rest.find(`${batch}/jobs/background`)).toBeUndefined();
      await rest.eventually(`${pods}/${first.metadata.name}`, (found) => found === undefined);
      // Without a policy, deleting a batch/v1 Job orphans its pods. kubectl always sends Background.
      await create('orphan', 'sleep 60', {}, { terminationGracePeriodSeconds: 0 });
      const second = await running('orphan');
      await rest.ok('DELETE', `${batch}/jobs/orphan`);
      await rest.eventually(`${batch}/jobs/orphan`, (found) => found === undefined);
      const left = await rest.eventually(
        `${pods}/${second.metadata.name}`,
        (found) => (found.metadata.ownerReferences ?? []).length === 0,
      );
      expect(left.status.phase).toBe('Running');
      await rest.ok('DELETE', `${pods}/${second.metadata.name}`, { gracePeriodSeconds: 0 });
    });

    it('of a CronJob are deleted beyond its history limits', async () => {
      const { spec } = job('', 'jobs', 'exit 3', jobPolicy);
      const template = {
        schedule: '0 0 1 1 *',
        suspend: true,
        failedJobsHistoryLimit: 1,
        jobTemplate: { spec },
      };
      const cronJob = await rest.ok('POST', `${batch}/cronjobs`, {
        metadata: { name: 'template' },
        spec: template,
      });
      const owner = { apiVersion: 'batch/v1', kind: 'CronJob', name: 'template', controller: true };
      for (const name of ['job-1', 'job-2']) {
        const own = job(name, 'jobs', 'exit 3', jobPolicy);
        const ownerReferences = [{ ...owner, uid: cronJob.metadata.uid }];
        await rest.ok('POST', `${batch}/jobs`, { ...own, metadata: { ...own.metadata, ownerReferences } });
        await ends(name, 'Failed');
        // Start times have a resolution of one second.
        await new Promise((resolve) => setTimeout(resolve, 1100));
      }
      await rest.eventually(`${batch}/jobs/job-1`, (found) => found === undefined);
      expect((await rest.get(`${batch}/jobs/job-2`)).metadata.deletionTimestamp).toBeUndefined();
    });

    it('stay pending while no node fits, and run once one does', async () => {
      const values = ['one', 'two'];
      const matchExpressions = [{ key: 'kubernetes.io/hostname', operator: 'NotIn', values }];
      const required = { nodeSelectorTerms: [{ matchExpressions }] };
      const affinity = { nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: required } };
      await create('placed', 'echo here', {}, { affinity });
      const waiting = await pod(
        'placed',
        ({ status }) => status?.conditions?.some((c) => c.reason === 'Unschedulable') === true,
      );
      expect(waiting.status?.conditions?.[0]?.message).toContain(
        "2 node(s) didn't match Pod's node affinity/selector",
      );
      await target.addNode('three');
      await ends('placed', 'Complete');
      expect((await podsOf('placed'))[0]?.spec?.nodeName).toBe('three');
    });
  });
}
