import type { V1PodList } from '@kubernetes/client-node';
import { afterEach, beforeEach, describe, expect, it, test } from 'vitest';
import { type TestLab, testNode } from '../../../test/lab/api/testing.ts';
import type { KubeObject } from '../../../test/lab/api/types.ts';
import { clusterReader } from '../cluster/reader.ts';
import { clusterWriter } from '../cluster/writer.ts';
import { jobLabels } from '../names.ts';
import { annotationsReader } from '../rollout/node-annotations.ts';
import { requestOf } from '../rollout/request.ts';
import { connect, startLab } from '../testing/api.ts';
import { componentPod, controlPlaneTaint, terminating, testSettings } from '../testing/cluster.ts';
import { rejection } from '../testing/files.ts';
import { newRunId, nextJobStarter, successorOf } from './next-job.ts';
import { type SubmitPorts, submit } from './submit.ts';

const request = requestOf({ target_version: '1.34.5', kind: 'patch' });
const namespace = 'k8s-upgrade';
let lab: TestLab;
beforeEach(async () => {
  lab = await startLab();
  for (const name of ['one', 'two']) lab.api.store.remove('nodes', undefined, name);
  lab.api.apply([node('master', '1.34.2'), node('node1', '1.34.2'), node('node2', '1.34.2'), cronJob()]);
});
afterEach(() => lab.stop());

function node(name: string, release: string, spec: object = {}): KubeObject {
  const made = testNode(name) as KubeObject & { status: object };
  const isMaster = name.startsWith('master');
  const role = isMaster ? { 'node-role.kubernetes.io/control-plane': '' } : {};
  return {
    ...made,
    metadata: { name, labels: { 'kubernetes.io/hostname': name, ...role } },
    spec: { ...(isMaster && { taints: [controlPlaneTaint] }), ...spec },
    status: { ...made.status, nodeInfo: { kubeletVersion: `v${release}` } },
  } as KubeObject;
}

const apiServer = (on: string, version: string): KubeObject =>
  ({
    apiVersion: 'v1',
    kind: 'Pod',
    ...(componentPod('kube-apiserver', on, `registry.k8s.io/kube-apiserver:v${version}`) as object),
  }) as KubeObject;

/** Its Jobs are suspended, so they stay active without starting a pod. */
const cronJob = (): KubeObject =>
  ({
    apiVersion: 'batch/v1',
    kind: 'CronJob',
    metadata: { name: 'k8s-version-upgrade', namespace },
    spec: {
      schedule: '0 0 31 2 *',
      suspend: true,
      jobTemplate: {
        spec: {
          suspend: true,
          template: {
            spec: {
              restartPolicy: 'Never',
              tolerations: [{ key: controlPlaneTaint.key, operator: 'Exists', effect: 'NoSchedule' }],
              containers: [{ name: 'upgrade', image: 'upgrade:1', args: ['run'] }],
            },
          },
        },
      },
    },
  }) as KubeObject;

function ports(): SubmitPorts {
  const client = connect(lab);
  return {
    client,
    cluster: clusterReader(client, testSettings(), async () =>
      annotationsReader('viktorbarzin.me', undefined),
    ),
    writer: clusterWriter(client, namespace),
    namespace,
  };
}
const jobs = () => lab.api.store.list('jobs', namespace);
/** Host names of the required and of the preferred node affinity. */
function placement(job: ReturnType<typeof jobs>[number] | undefined) {
  const { nodeAffinity } = (job?.spec?.template.spec?.affinity ?? {}) as {
    nodeAffinity?: {
      requiredDuringSchedulingIgnoredDuringExecution?: {
        nodeSelectorTerms: { matchExpressions: { values: string[] }[] }[];
      };
      preferredDuringSchedulingIgnoredDuringExecution?: {
        preference: { matchExpressions: { values: string[] }[] };
      }[];
    };
  };
  return {
    not: nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms[0]
      ?.matchExpressions[0]?.values,
    rather:
      nodeAffinity?.preferredDuringSchedulingIgnoredDuringExecution?.[0]?.preference.matchExpressions[0]
        ?.values,
  };
}
const fail = (name: string | undefined) =>
  lab.api.store.modify('jobs', namespace, name ?? '', (job) => {
    job.status = { conditions: [{ type: 'Failed', status: 'True' }] } as never;
  });

describe('submitting', () => {
  it('creates the first Job, which must not run on the nodes that it drains', async () => {
    const { job, joined } = await submit(ports(), request);
    expect(joined).toBe(false);
    expect(jobs().map((one) => one.metadata.name)).toEqual([job.metadata?.name]);
    expect(job.spec?.template.spec?.containers[0]?.args).toEqual([
      'run',
      '--inputs',
      '{"target_version":"1.34.5","kind":"patch","dry_run":false,"stages":"all"}',
      '--run-id',
      job.metadata?.labels?.[jobLabels.run],
      '--leg',
      '1',
    ]);
    expect(placement(jobs()[0])).toEqual({ not: ['master', 'node1'], rather: ['node2'] });
  });

  it('joins the active Job with the same inputs, and is refused with others', async () => {
    const first = await submit(ports(), request);
    const again = await submit(ports(), request);
    expect([again.joined, again.job.metadata?.name]).toEqual([true, first.job.metadata?.name]);
    const other = requestOf({ target_version: '1.34.5', kind: 'patch', stages: 'preflight' });
    expect(await rejection(submit(ports(), other))).toMatchObject({
      code: 'blocked',
      message: expect.stringContaining(`Job ${first.job.metadata?.name}`),
    });
    expect(jobs()).toHaveLength(1);
  });

  it('joins a Job whose node may still come back, and is blocked once the Job is stranded', async () => {
    const { job } = await submit(ports(), request);
    const name = job.metadata?.name ?? '';
    const after = (minutes: number) => {
      const given = ports();
      given.client.core.listNamespacedPod = async () =>
        ({
          kind: 'PodList',
          apiVersion: 'v1',
          metadata: {},
          items: [terminating(name, minutes)],
        }) as V1PodList;
      return submit(given, request);
    };
    expect((await after(1)).joined).toBe(true);
    expect(await rejection(after(10))).toMatchObject({
      code: 'blocked',
      message: expect.stringContaining('pod upgrade-1-pod on node7 is being deleted and does not terminate'),
      hint: expect.stringContaining(`kubectl -n k8s-upgrade delete job ${name}, then dispatch again`),
    });
  });

  it('creates a new Job after one that has failed (F6)', async () => {
    const first = await submit(ports(), request);
    fail(first.job.metadata?.name);
    const second = await submit(ports(), request);
    expect(second.joined).toBe(false);
    expect(second.job.metadata?.name).not.toBe(first.job.metadata?.name);
  });

  it('finds its own Job when the response to its creation was lost', async () => {
    lab.api.faults.add({ match: { resource: 'jobs', verb: 'create' }, times: 1, action: { reset: 'after' } });
    const { job } = await submit(ports(), request);
    expect(jobs().map((one) => one.metadata.name)).toEqual([job.metadata?.name]);
  });

  const now = () => new Date().toISOString().replace('Z', '000Z');
  const cases: [why: string, prepare: () => void, code: string, message: string][] = [
    [
      'upgrades are halted',
      () =>
        lab.api.apply([
          {
            apiVersion: 'v1',
            kind: 'ConfigMap',
            metadata: { name: 'k8s-upgrade-killswitch', namespace },
            data: { reason: 'disk swap' },
          } as KubeObject,
        ]),
      'blocked',
      'upgrades are halted:\n  - disk swap',
    ],
    [
      'a run is in progress outside the cluster',
      () =>
        lab.api.apply([
          {
            apiVersion: 'coordination.k8s.io/v1',
            kind: 'Lease',
            metadata: { name: 'k8s-version-upgrade', namespace },
            spec: {
              holderIdentity: 'run/laptop',
              acquireTime: now(),
              renewTime: now(),
              leaseDurationSeconds: 60,
            },
          } as KubeObject,
        ]),
      'blocked',
      'another run is in progress:\n  - run/laptop since',
    ],
    [
      'no node can run the Job (F4)',
      () =>
        lab.api.apply([
          node('node1', '1.34.2', { unschedulable: true }),
          node('node2', '1.34.2', { unschedulable: true }),
        ]),
      'blocked',
      'node2: cordoned',
    ],
    [
      'the pipeline is not deployed',
      () => lab.api.store.remove('cronjobs', namespace, 'k8s-version-upgrade'),
      'blocked',
      'CronJob k8s-upgrade/k8s-version-upgrade does not exist',
    ],
    [
      'a node cannot be read',
      () =>
        lab.api.store.modify('nodes', undefined, 'node2', (found) => {
          if (found.status) found.status.addresses = [];
        }),
      'badInput',
      'node node2 status.addresses',
    ],
    [
      'the target is older than the cluster',
      () => lab.api.setVersion('1.34.9'),
      'badInput',
      'target_version: "1.34.5"',
    ],
  ];
  test.each(cases)('creates nothing when %s', async (_why, prepare, code, message) => {
    prepare();
    expect(await rejection(submit(ports(), request))).toMatchObject({
      code,
      message: expect.stringContaining(message),
    });
    expect(jobs()).toEqual([]);
  });
});

describe('the next Job', () => {
  const upgradeAll = (...names: string[]) => lab.api.apply(names.map((name) => node(name, '1.34.5')));

  it('runs on an upgraded node, never on the one that it drains (F1)', async () => {
    upgradeAll('master', 'node1');
    lab.api.setVersion('1.34.5');
    const name = await nextJobStarter(ports(), request, 'run', 1, async () => {})('node2');
    const job = jobs().find((one) => one.metadata.name === name);
    expect(job?.metadata.labels).toMatchObject({ [jobLabels.run]: 'run', [jobLabels.number]: '2' });
    expect(placement(job)).toEqual({ not: ['node2'], rather: ['master', 'node1'] });
  });

  it('ends this one with the reason when no node accepts it, and stays (F4)', async () => {
    upgradeAll('master', 'node1');
    lab.api.setVersion('1.34.5');
    const unscheduled = new Error('0/4 nodes are available');
    const awaited: string[] = [];
    const startNextJob = nextJobStarter(ports(), request, 'run', 1, async (job) => {
      awaited.push(job);
      throw unscheduled;
    });
    expect(await rejection(startNextJob('node2'))).toBe(unscheduled);
    expect(awaited).toEqual(jobs().map((job) => job.metadata.name));
    expect(awaited).toHaveLength(1);
  });

  it('does not run on a control-plane node whose API server is behind, whatever its kubelet', async () => {
    upgradeAll('master', 'master2', 'master3', 'node1');
    lab.api.setVersion('1.34.5');
    lab.api.apply([
      apiServer('master', '1.34.5'),
      apiServer('master2', '1.34.2'),
      apiServer('master3', '1.34.5'),
    ]);
    const name = await nextJobStarter(ports(), request, 'run', 1, async () => {})('node2');
    const job = jobs().find((one) => one.metadata.name === name);
    expect(placement(job)).toEqual({ not: ['master2', 'node2'], rather: ['master', 'master3', 'node1'] });
  });

  it('does not run on the node that hands over, even if that was upgraded meanwhile', async () => {
    upgradeAll('master', 'node1', 'node2');
    lab.api.setVersion('1.34.5');
    const name = await nextJobStarter(ports(), request, 'run', 1, async () => {})('node2');
    const job = jobs().find((one) => one.metadata.name === name);
    expect(placement(job)).toEqual({ not: ['node2'], rather: ['master', 'node1'] });
  });

  it('does not run on the control-plane node when the only API server is behind', async () => {
    upgradeAll('master', 'node1');
    await submit(ports(), request);
    expect(placement(jobs()[0])).toEqual({ not: ['master', 'node2'], rather: ['node1'] });
  });

  it('does not run on the node that hands over when only the API server of that node is left', async () => {
    upgradeAll('master', 'node1', 'node2');
    const name = await nextJobStarter(ports(), request, 'run', 1, async () => {})('master');
    const job = jobs().find((one) => one.metadata.name === name);
    expect(placement(job)).toEqual({ not: ['master'], rather: ['node1', 'node2'] });
  });

  it('is found by a Job that was killed after submitting it, even once it has ended (F5)', async () => {
    upgradeAll('master', 'node1');
    const client = connect(lab);
    const after = (runId: string, jobNumber: number) => successorOf(client, namespace, runId, jobNumber);
    expect(await after('run', 1)).toBeUndefined();
    const name = await nextJobStarter(ports(), request, 'run', 1, async () => {})('node2');
    expect(await after('run', 1)).toBe(name);
    fail(name);
    expect(await after('run', 1)).toBe(name);
    expect([await after('run', 2), await after('other', 1)]).toEqual([undefined, undefined]);
  });
});

describe('the identity of a run', () => {
  it("can be a label value and part of the lease holder's identity", () => {
    expect(newRunId('1.34.5')).toMatch(/^1-34-5-[a-z0-9]{6,}$/);
  });
});
