import { existsSync } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  call,
  eventually,
  namespace,
  startTestLab,
  type TestLab,
  testJob,
  testNode,
  until,
  untilLogged,
} from './testing.ts';
import type { Job, KubeObject, Pod, Stored } from './types.ts';

const jobPolicy = {
  podFailurePolicy: {
    rules: [
      { action: 'Ignore', onPodConditions: [{ type: 'DisruptionTarget', status: 'True' }] },
      { action: 'FailJob', onExitCodes: { operator: 'In', values: [1, 2, 3] } },
    ],
  },
  backoffLimit: 6,
};

describe('Jobs as processes', () => {
  let lab: TestLab;
  const condition = (type: string) => (o: Stored) =>
    (o as Job).status?.conditions?.some((c) => c.type === type && c.status === 'True') === true;
  const ends = async (name: string, type: 'Complete' | 'Failed') =>
    (await eventually(lab.api, 'jobs', name, condition(type))) as Job;
  const podsOf = (job: string) =>
    lab.api.store.list('pods', 'jobs').filter((p) => p.metadata.labels?.['job-name'] === job);
  const logOf = (pod: Pod | undefined) =>
    pod === undefined ? '' : (lab.api.runner.log(pod, 'main')?.text() ?? '');
  /** The first pod of the job that satisfies `test`, now or later. */
  const pod = (job: string, test: (p: Pod) => boolean) => until(lab.api, () => podsOf(job).find(test));
  const running = (job: string, not = '') =>
    pod(
      job,
      (p) =>
        p.status?.phase === 'Running' && p.metadata.uid !== not && p.metadata.deletionTimestamp === undefined,
    );

  beforeAll(async () => {
    lab = await startTestLab();
    lab.api.apply([namespace('jobs'), testNode('one'), testNode('two')]);
  });
  afterAll(() => lab.stop());

  it('run to completion, with arguments, environment and a kubeconfig of their service account', async () => {
    lab.api.apply([
      { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'runner', namespace: 'jobs' } },
      testJob(
        'hello',
        '',
        {},
        {
          serviceAccountName: 'runner',
          containers: [
            {
              name: 'main',
              image: 'lab/sh:1',
              command: [
                '/bin/bash',
                '-c',
                'echo "$1 on $NODE in $SPACE as $ACCOUNT"; stat -c %a "$KUBECONFIG"; grep -c token: "$KUBECONFIG"',
                'x',
              ],
              args: ['hello $(POD) $$(POD)'],
              env: [
                { name: 'POD', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } },
                { name: 'NODE', valueFrom: { fieldRef: { fieldPath: 'spec.nodeName' } } },
                { name: 'SPACE', valueFrom: { fieldRef: { fieldPath: 'metadata.namespace' } } },
                { name: 'ACCOUNT', valueFrom: { fieldRef: { fieldPath: 'spec.serviceAccountName' } } },
              ],
            },
          ],
        },
      ),
    ]);
    const job = await ends('hello', 'Complete');
    const [done] = podsOf('hello');
    expect(job.status).toMatchObject({ succeeded: 1, ready: 0, completionTime: expect.any(String) });
    expect(logOf(done)).toBe(
      `hello ${done?.metadata.name} $(POD) on ${done?.spec?.nodeName} in jobs as runner\n600\n1\n`,
    );
    expect(done?.status).toMatchObject({
      phase: 'Succeeded',
      containerStatuses: [{ state: { terminated: { exitCode: 0, reason: 'Completed' } } }],
    });
  });

  it('mount ConfigMaps and Secrets, and wait for one that does not exist yet', async () => {
    lab.api.apply([
      {
        apiVersion: 'v1',
        kind: 'ConfigMap',
        metadata: { name: 'settings', namespace: 'jobs' },
        data: { 'settings.yaml': 'key: /etc/creds/ssh_key\n' },
      },
      testJob(
        'mounts',
        '',
        {},
        {
          volumes: [
            { name: 'settings', configMap: { name: 'settings' } },
            {
              name: 'creds',
              secret: { secretName: 'creds', defaultMode: 0o400, items: [{ key: 'key', path: 'ssh_key' }] },
            },
            { name: 'tmp', emptyDir: {} },
          ],
          containers: [
            {
              name: 'main',
              image: 'lab/sh:1',
              args: [
                'f=$(sed "s/key: //" "$FILE"); cat "$f"; stat -c %a "$f"; touch /scratch/here; [ -w /etc/settings ]',
              ],
              env: [{ name: 'FILE', value: '/etc/settings/settings.yaml' }],
              volumeMounts: [
                { name: 'settings', mountPath: '/etc/settings' },
                { name: 'creds', mountPath: '/etc/creds', readOnly: true },
                { name: 'tmp', mountPath: '/scratch' },
              ],
            },
          ],
        },
      ),
    ]);
    const event = await until(lab.api, () =>
      lab.api.store.list('events', 'jobs').find((e) => e.reason === 'FailedMount'),
    );
    expect(event.message).toBe('MountVolume.SetUp failed: secret "creds" not found');
    lab.api.apply([
      {
        apiVersion: 'v1',
        kind: 'Secret',
        metadata: { name: 'creds', namespace: 'jobs' },
        data: { key: Buffer.from('secret\n').toString('base64') },
      },
    ]);
    await ends('mounts', 'Complete');
    const [done] = podsOf('mounts');
    expect(logOf(done)).toBe('secret\n400\n');
    expect(existsSync(join(lab.dir, 'pods', done?.metadata.uid ?? '', 'volumes', 'tmp', 'here'))).toBe(true);
  });

  it('fail immediately on an exit code in their failure policy', async () => {
    lab.api.apply([testJob('blocked', 'exit 3', jobPolicy)]);
    const job = await ends('blocked', 'Failed');
    const [failed] = podsOf('blocked');
    expect(job.status?.failed).toBe(1);
    expect(job.status?.conditions?.find((c) => c.type === 'Failed')).toMatchObject({
      reason: 'PodFailurePolicy',
      message: `Container main for pod jobs/${failed?.metadata.name} failed with exit code 3 matching FailJob rule at index 1`,
    });
    expect(podsOf('blocked')).toHaveLength(1);
  });

  it('start a new pod after the process was killed', async () => {
    const marker = join(lab.dir, 'second-attempt');
    lab.api.apply([
      testJob('crash', `[ -e ${marker} ] && exit 0; touch ${marker}; echo up; sleep 60`, jobPolicy),
    ]);
    const first = await running('crash');
    await untilLogged(lab.api, first, 'up');
    expect(lab.api.runner.kill(first.metadata.name, 'SIGKILL', { oom: true })).toBe(true);
    const job = await ends('crash', 'Complete');
    expect(job.status).toMatchObject({ failed: 1, succeeded: 1 });
    const dead = podsOf('crash').find((p) => p.metadata.uid === first.metadata.uid);
    expect(dead?.status?.containerStatuses?.[0]?.state?.terminated).toMatchObject({
      exitCode: 137,
      reason: 'OOMKilled',
    });
  });

  it('fail at the back-off limit', async () => {
    lab.api.apply([testJob('hopeless', 'exit 9', { ...jobPolicy, backoffLimit: 1 })]);
    const job = await ends('hopeless', 'Failed');
    expect(job.status?.failed).toBe(2);
    expect(job.status?.conditions?.find((c) => c.type === 'Failed')).toMatchObject({
      reason: 'BackoffLimitExceeded',
      message: 'Job has reached the specified backoff limit',
    });
  });

  it('replace an evicted pod after it has handled SIGTERM and ended, without counting a failure', async () => {
    const script = "trap 'echo stopping; exit 143' TERM; echo up; sleep 60 & wait";
    lab.api.apply([testJob('evicted', script, jobPolicy)]);
    const first = await running('evicted');
    await untilLogged(lab.api, first, 'up');
    const log = lab.api.runner.log(first, 'main');
    await evict(first);
    const second = await running('evicted', first.metadata.uid);
    expect(second.metadata.name).not.toBe(first.metadata.name);
    expect(log?.text()).toBe('up\nstopping\n');
    expect(podsOf('evicted').map((p) => p.metadata.name)).toEqual([second.metadata.name]);
    expect(lab.api.store.get('jobs', 'jobs', 'evicted')?.status?.failed ?? 0).toBe(0);
  });

  const evict = ({ metadata: { name, namespace } }: Pod) =>
    call(lab.api, 'POST', `/api/v1/namespaces/${namespace}/pods/${name}/eviction`, {
      metadata: { name, namespace },
    });

  it('kill a process that ignores SIGTERM at the end of its grace period', async () => {
    lab.api.apply([
      testJob(
        'stubborn',
        "trap '' TERM; echo up; while :; do sleep 1; done",
        {},
        { terminationGracePeriodSeconds: 1 },
      ),
    ]);
    const first = await running('stubborn');
    await untilLogged(lab.api, first, 'up');
    const start = Date.now();
    lab.api.store.modify('jobs', 'jobs', 'stubborn', (j) => {
      if (j.spec !== undefined) j.spec.suspend = true;
    });
    await eventually(lab.api, 'pods', first.metadata.name, (_, type) => type === 'DELETED');
    expect(Date.now() - start).toBeGreaterThan(900);
    expect(lab.api.store.get('jobs', 'jobs', 'stubborn')?.status?.conditions).toContainEqual(
      expect.objectContaining({ type: 'Suspended', status: 'True' }),
    );
  });

  it('fail at their deadline, and are deleted after their time to live', async () => {
    lab.api.apply([testJob('late', 'sleep 60', { activeDeadlineSeconds: 1, ttlSecondsAfterFinished: 0 })]);
    const job = await ends('late', 'Failed');
    expect(job.status?.conditions?.find((c) => c.type === 'Failed')?.reason).toBe('DeadlineExceeded');
    await eventually(lab.api, 'jobs', 'late', (_, type) => type === 'DELETED');
    await lab.api.settled();
    expect(podsOf('late')).toEqual([]);
  });

  it('of a CronJob are deleted beyond its history limits, even if it did not create them', async () => {
    const { spec } = testJob('', 'exit 3', jobPolicy);
    const uid = '5b9a0f1c-0000-4000-8000-000000000001';
    lab.api.apply([
      {
        apiVersion: 'batch/v1',
        kind: 'CronJob',
        metadata: { name: 'template', namespace: 'jobs', uid },
        spec: { schedule: '0 0 * * 0', suspend: true, failedJobsHistoryLimit: 1, jobTemplate: { spec } },
      },
    ]);
    const ownerReferences = [
      { apiVersion: 'batch/v1', kind: 'CronJob', name: 'template', uid, controller: true },
    ];
    for (const name of ['job-1', 'job-2']) {
      const job = testJob(name, 'exit 3', jobPolicy);
      lab.api.apply([{ ...job, metadata: { ...job.metadata, ownerReferences } } as KubeObject]);
      await ends(name, 'Failed');
      // Start times have a resolution of one second, so make the order explicit.
      lab.api.store.modify('jobs', 'jobs', name, (j) => {
        if (name === 'job-1') j.status = { ...j.status, startTime: '2026-01-01T00:00:00Z' };
      });
    }
    await until(lab.api, () => (lab.api.store.get('jobs', 'jobs', 'job-1') === undefined ? true : undefined));
    expect(lab.api.store.get('jobs', 'jobs', 'job-2')?.metadata.deletionTimestamp).toBeUndefined();
  });

  it('stay pending while no node fits, and run once one does', async () => {
    const terms = [
      { matchExpressions: [{ key: 'kubernetes.io/hostname', operator: 'NotIn', values: ['one', 'two'] }] },
    ];
    const affinity = {
      nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: terms } },
    };
    lab.api.apply([testJob('placed', 'echo here', {}, { affinity })]);
    const waiting = await pod(
      'placed',
      (p) => p.status?.conditions?.some((c) => c.reason === 'Unschedulable') === true,
    );
    expect(waiting.status?.conditions?.[0]?.message).toContain(
      "2 node(s) didn't match Pod's node affinity/selector",
    );
    lab.api.apply([testNode('three')]);
    await ends('placed', 'Complete');
    expect(podsOf('placed')[0]?.spec?.nodeName).toBe('three');
  });

  it('neither start nor stop on a node that is down', async () => {
    lab.api.kubelets.setDown('three');
    const node = lab.api.store.get('nodes', undefined, 'three');
    expect(node?.status?.conditions?.find((c) => c.type === 'Ready')?.status).toBe('Unknown');
    lab.api.apply([
      {
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: { name: 'stuck', namespace: 'jobs' },
        spec: { nodeName: 'three', containers: [{ name: 'c', image: 'c:1' }] },
      } satisfies KubeObject,
    ]);
    await lab.api.settled();
    expect(lab.api.store.get('pods', 'jobs', 'stuck')?.status?.phase).toBe('Pending');
    lab.api.kubelets.setUp('three');
    await eventually(lab.api, 'pods', 'stuck', (p) => (p as Pod).status?.phase === 'Running');
  });

  it('start a new pod when the node of their pod reboots (F5)', async () => {
    const marker = join(lab.dir, 'after-reboot');
    lab.api.apply([
      testJob('rebooted', `[ -e ${marker} ] && exit 0; touch ${marker}; echo up; sleep 60`, jobPolicy),
    ]);
    const first = await running('rebooted');
    await untilLogged(lab.api, first, 'up');
    const node = first.spec?.nodeName ?? '';
    lab.api.kubelets.powerOff(node);
    expect(
      lab.api.store.get('nodes', undefined, node)?.status?.conditions?.find((c) => c.type === 'Ready')
        ?.status,
    ).toBe('Unknown');
    await lab.api.settled();
    expect(podsOf('rebooted').map((p) => p.status?.phase)).toEqual(['Running']);
    lab.api.kubelets.powerOn(node);
    const job = await ends('rebooted', 'Complete');
    expect(job.status).toMatchObject({ failed: 1, succeeded: 1 });
    expect(lab.api.store.get('nodes', undefined, node)?.spec?.taints ?? []).toEqual([]);
  });

  it('leave no process behind when the lab stops', async () => {
    const other = await startTestLab();
    const pidFile = join(other.dir, 'pid');
    other.api.apply([
      namespace('jobs'),
      testNode('one'),
      testJob('long', `echo $$ > ${pidFile}; echo up; sleep 60`),
    ]);
    const p = await until(other.api, () =>
      other.api.store.list('pods', 'jobs').find((x) => x.status?.phase === 'Running'),
    );
    await untilLogged(other.api, p, 'up');
    const pid = Number(await readFile(pidFile, 'utf8'));
    expect((await stat(`/proc/${pid}`)).isDirectory()).toBe(true);
    await other.stop();
    expect(() => process.kill(pid, 0)).toThrow('ESRCH');
  });
});
