import type { V1PodList } from '@kubernetes/client-node';
import type { Logger } from 'pino';
import { afterEach, beforeEach, describe, expect, it, onTestFinished, test } from 'vitest';
import { type TestLab, testNode, until } from '../../../test/lab/api/testing.ts';
import type { KubeObject } from '../../../test/lab/api/types.ts';
import { AgentService } from '../../../test/lab/services/agent-service.ts';
import { Pushgateway } from '../../../test/lab/services/pushgateway.ts';
import { clusterReader } from '../cluster/reader.ts';
import { clusterWriter } from '../cluster/writer.ts';
import { annotationKeys, jobLabels, metricJobs, metrics } from '../names.ts';
import { minorOf, parseRelease } from '../release.ts';
import type { PackageRepository } from '../releases/repository.ts';
import { annotationsReader } from '../rollout/node-annotations.ts';
import type { NodeShell } from '../ssh/node-shell.ts';
import { connect, startLab } from '../testing/api.ts';
import { packagesOf, terminating, testSettings } from '../testing/cluster.ts';
import { rejection, temporaryFile } from '../testing/files.ts';
import { detect } from './detect.ts';
import type { DetectContext } from './detection.ts';

const keys = annotationKeys('viktorbarzin.me');
const minutes = (n: number) => new Date(Date.now() - n * 60_000).toISOString();
/** Longer than any run may take. */
const longAgo = minutes(60 * 24 * 30);

let lab: TestLab;
let service: AgentService;
let logged: string[];
beforeEach(async () => {
  lab = await startLab();
  for (const name of ['one', 'two']) lab.api.store.remove('nodes', undefined, name);
  service = await new AgentService({ token: 't', submit: async () => ({ exitCode: 0, output: '' }) }).start();
  logged = [];
});
afterEach(async () => {
  await service.stop();
  await lab.stop();
});

function node(name: string, release: string, annotations: Record<string, string> = {}): KubeObject {
  const made = testNode(name) as KubeObject & { status: { nodeInfo: object } };
  const role = name.includes('master') ? { 'node-role.kubernetes.io/control-plane': '' } : {};
  return {
    ...made,
    metadata: { name, labels: { 'kubernetes.io/hostname': name, ...role }, annotations },
    status: { ...made.status, nodeInfo: { kubeletVersion: `v${release}` } },
  } as KubeObject;
}

/**
 * A context over the lab. `offered`: the releases that repository and node offer, all old enough for the
 * policy.
 */
function context(
  offered: string[],
  mode: 'agent-service' | 'job' = 'agent-service',
  unschedulable = '2m',
): DetectContext {
  const client = connect(lab);
  const settings = testSettings({
    timing: { unschedulable },
    dispatch: { mode, agentService: { url: service.url, tokenFile: temporaryFile('t') } },
  });
  const of = (minor: string) =>
    offered.map((text) => parseRelease('t', text)).filter((r) => minorOf(r) === minor);
  const repository = {
    hasMinor: async (minor: string) => of(minor).length > 0,
    packages: async (minor: string) => of(minor).flatMap(packagesOf),
    publishedAt: async () => 0,
  } as unknown as PackageRepository;
  const shell = { script: async () => ({ versions: offered }) } as unknown as NodeShell;
  const logger = {
    info: (text: string) => logged.push(text),
    warn: (text: string) => logged.push(text),
  } as unknown as Logger;
  const cluster = clusterReader(client, settings, async () =>
    annotationsReader(settings.annotationPrefix, undefined),
  );
  const writer = clusterWriter(client, 'k8s-upgrade');
  const { signal } = client.options;
  contexts += 1;
  return {
    settings,
    client,
    cluster,
    writer,
    shell,
    repository,
    logger,
    signal,
    processName: `detector-${contexts}`,
  };
}
/** How many contexts were created; each is another process. */
let contexts = 0;

/** As deployed. @param podSpec overrides fields of its pods. */
function executionCronJob(podSpec: object = {}): KubeObject {
  const pod = { ...template, spec: { ...template.spec, ...podSpec } };
  return {
    apiVersion: 'batch/v1',
    kind: 'CronJob',
    metadata: { name: 'k8s-version-upgrade', namespace: 'k8s-upgrade' },
    spec: { schedule: '0 0 31 2 *', suspend: true, jobTemplate: { spec: { template: pod } } },
  } as KubeObject;
}

const annotations = () =>
  lab.api.store.get('namespaces', undefined, 'k8s-upgrade')?.metadata.annotations ?? {};
const annotate = (given: Record<string, string>) =>
  lab.api.store.modify('namespaces', undefined, 'k8s-upgrade', (found) => {
    found.metadata.annotations = given;
  });
const dispatched = () =>
  service.jobs.map((job) => job.request.prompt.replace(/^.*target_version":"([^"]*)".*$/, '$1'));
const lease = (time: string): KubeObject => {
  const renewTime = time.replace('Z', '000Z');
  return {
    apiVersion: 'coordination.k8s.io/v1',
    kind: 'Lease',
    metadata: { name: 'k8s-version-upgrade', namespace: 'k8s-upgrade' },
    spec: { holderIdentity: 'run/pod', acquireTime: renewTime, renewTime, leaseDurationSeconds: 60 },
  } as KubeObject;
};
const template = {
  spec: { restartPolicy: 'Never', containers: [{ name: 'upgrade', image: 'upgrade:1', args: ['run'] }] },
};
const job = (status: object): KubeObject =>
  ({
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: {
      name: 'upgrade-1',
      namespace: 'k8s-upgrade',
      labels: { [jobLabels.run]: 'r', [jobLabels.number]: '1' },
    },
    spec: { template, suspend: true },
    status,
  }) as KubeObject;
const killSwitch = {
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name: 'k8s-upgrade-killswitch', namespace: 'k8s-upgrade' },
  data: { reason: 'disk swap' },
};
const fresh = () => lab.api.apply([node('master', '1.34.2'), node('node1', '1.34.2')]);

describe('a detection', () => {
  it('dispatches the newest patch and records that', async () => {
    fresh();
    const found = await detect(context(['1.34.2', '1.34.4', '1.34.5', '1.35.1']), false);
    expect(found).toMatchObject({
      outcome: 'done',
      running: '1.34.2',
      available: [
        { kind: 'patch', release: '1.34.5' },
        { kind: 'minor', release: '1.35.1' },
      ],
      news: true,
    });
    expect(found.message).toMatch(
      /^1\.34\.2 → 1\.34\.5 \(patch, .*\): dispatched to the agent service as job /,
    );
    expect(dispatched()).toEqual(['1.34.5']);
    expect(annotations()[keys.dispatched]).toMatch(/^1\.34\.5 20\d\d-/);
  });

  it('as a dry-run writes and dispatches nothing', async () => {
    fresh();
    annotate({ [keys.inFlight]: longAgo, [keys.target]: '1.34.1' });
    const before = annotations();
    expect(await detect(context(['1.34.2', '1.34.5']), true)).toMatchObject({
      outcome: 'done',
      message: expect.stringContaining('would be dispatched'),
    });
    expect([dispatched(), annotations()]).toEqual([[], before]);
  });

  it('is no news when the cluster is up to date', async () => {
    fresh();
    expect(await detect(context(['1.34.2']), false)).toMatchObject({
      outcome: 'done',
      news: false,
      available: [],
    });
  });

  it('is held when policy refuses every newer release (F15)', async () => {
    fresh();
    const found = await detect(context(['1.34.2', '1.35.0']), false);
    expect(found).toMatchObject({
      outcome: 'held',
      message: expect.stringContaining('1.35.0 (denied: kubeadm'),
    });
    expect(logged).toContainEqual(expect.stringContaining('skipping minor 1.35.0: denied'));
  });

  it('finishes an unfinished rollout (F10)', async () => {
    lab.api.apply([node('master', '1.34.5'), node('node1', '1.34.2')]);
    lab.api.setVersion('1.34.5');
    await detect(context(['1.34.2', '1.34.5', '1.34.6']), false);
    expect(dispatched()).toEqual(['1.34.5']);
  });

  it('finishes a minor whose repository the nodes already use, and publishes it as available', async () => {
    lab.api.apply([node('master', '1.34.5'), node('node1', '1.34.5')]);
    lab.api.setVersion('1.34.5');
    annotate({ [keys.inFlight]: minutes(60), [keys.target]: '1.35.1', [keys.kind]: 'minor' });
    const found = await detect(context(['1.35.0', '1.35.1', '1.35.2']), false);
    expect(found.message).toContain('1.34.5 → 1.35.1 (minor, finishes the rollout in flight): dispatched');
    expect(found.available).toEqual([{ kind: 'minor', release: '1.35.1' }]);
    expect(dispatched()).toEqual(['1.35.1']);
  });

  it('finishes a minor that stopped after the stage repo, however long ago', async () => {
    lab.api.apply([node('master', '1.34.5'), node('node1', '1.34.5')]);
    lab.api.setVersion('1.34.5');
    annotate({ [keys.inFlight]: longAgo, [keys.target]: '1.35.1', [keys.kind]: 'minor' });
    await detect(context(['1.35.0', '1.35.1', '1.35.2']), false);
    expect(dispatched()).toEqual(['1.35.1']);
    expect(annotations()).toMatchObject({ [keys.inFlight]: longAgo });
  });

  it.each(['patch', 'minor'])(
    'finishes the last node, whose kubelet is at the target but which is still cordoned (%s)',
    async (kind) => {
      const inProgress = { [keys.cordoned]: longAgo, [keys.changed]: longAgo };
      lab.api.apply([node('master', '1.34.5'), node('node1', '1.34.5', inProgress)]);
      lab.api.setVersion('1.34.5');
      annotate({ [keys.inFlight]: longAgo, [keys.target]: '1.34.5', [keys.kind]: kind });
      const { message } = await detect(context(['1.34.5', '1.34.6']), false);
      expect(message).toContain(`1.34.5 → 1.34.5 (${kind}, finishes the rollout in flight)`);
      expect(dispatched()).toEqual(['1.34.5']);
    },
  );

  it.each(['1.34.9', '1.36.1'])(
    'does not finish a rollout to %s, which nothing runs and no repository has',
    async (target) => {
      lab.api.apply([node('master', '1.34.2'), node('node1', '1.34.2')]);
      annotate({ [keys.inFlight]: minutes(60), [keys.target]: target });
      expect((await detect(context(['1.34.2', '1.34.5']), false)).outcome).toBe('done');
      expect(dispatched()).toEqual(['1.34.5']);
    },
  );

  it('applies policy to the release of a worker that joined ahead: that is not an unfinished rollout', async () => {
    lab.api.apply([node('master', '1.34.2'), node('node1', '1.34.5')]);
    const ctx = context(['1.34.2', '1.34.5']);
    const deny = [{ version: parseRelease('t', '1.34.5'), reason: 'our CNI' }];
    const settings = { ...ctx.settings, policy: { ...ctx.settings.policy, deny } };
    expect(await detect({ ...ctx, settings }, false)).toMatchObject({
      outcome: 'held',
      message: expect.stringContaining('1.34.5 (denied: our CNI)'),
    });
    expect(dispatched()).toEqual([]);
    expect((await detect(ctx, false)).message).toContain('1.34.2 → 1.34.5 (patch, newest patch');
    expect(dispatched()).toEqual(['1.34.5']);
  });

  it('dispatches when only the API server is behind', async () => {
    lab.api.apply([node('master', '1.34.5'), node('node1', '1.34.5')]);
    await detect(context(['1.34.2', '1.34.5']), false);
    expect(dispatched()).toEqual(['1.34.5']);
  });

  it('is blocked without reading a repository when a kubelet is two minors behind', async () => {
    lab.api.apply([node('master', '1.34.5'), node('node1', '1.32.4')]);
    lab.api.setVersion('1.34.5');
    annotate({ [keys.inFlight]: minutes(60), [keys.target]: '1.33.9' });
    const failOnRead = () => Promise.reject(new Error('read'));
    const repository = {
      hasMinor: failOnRead,
      packages: failOnRead,
      publishedAt: failOnRead,
    } as unknown as PackageRepository;
    const shell = { script: failOnRead } as unknown as NodeShell;
    expect(await rejection(detect({ ...context([]), repository, shell }, false))).toMatchObject({
      code: 'blocked',
      message: expect.stringContaining('kubelet 1.32.4 of node1 is 2 minors behind'),
    });
  });

  it('creates the first Job itself with dispatch.mode: job', async () => {
    fresh();
    lab.api.apply([executionCronJob()]);
    const found = await detect(context(['1.34.2', '1.34.5'], 'job'), false);
    const [job, ...more] = lab.api.store.list('jobs', 'k8s-upgrade');
    expect([found.message.endsWith(`as Job ${job?.metadata.name}`), more]).toEqual([true, []]);
    expect(job?.spec?.template.spec?.containers[0]?.args).toEqual(
      expect.arrayContaining([
        'run',
        '--inputs',
        '{"target_version":"1.34.5","kind":"patch","dry_run":false,"stages":"all"}',
      ]),
    );
    expect(JSON.stringify(job?.spec?.template.spec?.affinity)).toContain(
      '"operator":"NotIn","values":["master"]',
    );
  });
});

describe('the gauge of the rollout in flight when no run is in progress (F7)', () => {
  /** The outcome of a detection that finds these releases, and the gauge after it. */
  async function shownAfter(offered: string[], prepare: () => void = () => {}) {
    fresh();
    prepare();
    const pushgateway = await new Pushgateway().start();
    onTestFinished(() => pushgateway.stop());
    const { url } = pushgateway;
    await fetch(`${url}/metrics/job/${metricJobs.execution}`, {
      method: 'PUT',
      body: `${metrics.inFlight.name} 1\n`,
    });
    const ctx = context(offered);
    const settings = { ...ctx.settings, pushgateway: { ...ctx.settings.pushgateway, url } };
    const ended = await detect({ ...ctx, settings }, false).then(
      ({ outcome }) => outcome as string,
      () => 'failed',
    );
    return [ended, pushgateway.value(metrics.inFlight.name)];
  }

  it('is reset to 0, even if the detection fails', async () => {
    expect(await shownAfter(['1.34.2'])).toEqual(['done', 0]);
    expect(await shownAfter([])).toEqual(['failed', 0]);
  });

  it('stays while a run is in progress or a rollout is in flight', async () => {
    expect(await shownAfter(['1.34.2'], () => lab.api.apply([lease(minutes(0))]))).toEqual(['done', 1]);
    lab.api.store.remove('leases', 'k8s-upgrade', 'k8s-version-upgrade');
    const setInFlight = () => annotate({ [keys.inFlight]: minutes(1), [keys.target]: '1.34.2' });
    expect(await shownAfter(['1.34.2'], setInFlight)).toEqual(['done', 1]);
  });
});

describe('the cluster is read', () => {
  /** How often each resource was read, such as `nodes 1`. */
  const reads = () =>
    ['nodes', 'namespaces', 'leases', 'jobs', 'pods'].map((resource) => {
      const all = lab.api.requests.matching({ resource });
      return `${resource} ${all.filter(({ verb }) => verb === 'get' || verb === 'list').length}`;
    });
  const times = (n: number, nodes = 1) => [
    `nodes ${nodes}`,
    ...['namespaces', 'leases', 'jobs', 'pods'].map((resource) => `${resource} ${n}`),
  ];

  it.each([
    ['is up to date', ['1.34.2']],
    ['dispatches', ['1.34.2', '1.34.5']],
  ])('once by a detection that %s', async (_what, offered) => {
    fresh();
    annotate({ [keys.inFlight]: minutes(1), [keys.target]: '1.34.9' });
    await detect(context(offered), false);
    expect(reads()).toEqual(times(1));
  });

  it('again only if somebody has written the namespace meanwhile', async () => {
    fresh();
    const ctx = context(['1.34.2', '1.34.5']);
    const shell = {
      async script() {
        annotate({ 'example.com/other': 'note' });
        return { versions: ['1.34.2', '1.34.5'] };
      },
    } as unknown as NodeShell;
    expect((await detect({ ...ctx, shell }, false)).outcome).toBe('done');
    expect(reads()).toEqual(times(2));
    expect(dispatched()).toEqual(['1.34.5']);
  });

  it.each(['agent-service', 'job'] as const)(
    'for a run in progress after the package list, as a run may have started meanwhile (%s)',
    async (mode) => {
      fresh();
      lab.api.apply([executionCronJob()]);
      const ctx = context(['1.34.2', '1.34.5'], mode);
      const shell = {
        async script() {
          lab.api.apply([job({ active: 1 })]);
          return { versions: ['1.34.2', '1.34.5'] };
        },
      } as unknown as NodeShell;
      expect(await detect({ ...ctx, shell }, false)).toMatchObject({
        outcome: 'held',
        message: expect.stringContaining('not dispatched, a run is in progress: Job upgrade-1 has not ended'),
      });
      expect(reads()).toEqual(times(1));
      expect([dispatched(), lab.api.store.list('jobs', 'k8s-upgrade').length]).toEqual([[], 1]);
      expect(annotations()).not.toHaveProperty(keys.dispatched);
    },
  );
});

describe('an unscheduled Job (F4)', () => {
  const offered = ['1.34.2', '1.34.5'];
  const nowhere = { nodeSelector: { 'example.com/none': 'here' } };
  const noNode = "0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector";

  it("that the detector created is reported by the detector in time, with the scheduler's reason", async () => {
    fresh();
    lab.api.apply([executionCronJob(nowhere)]);
    const startedAt = Date.now();
    const { outcome, message } = await detect(context(offered, 'job', '1s'), false);
    expect(Date.now() - startedAt).toBeLessThan(10_000);
    const [job] = lab.api.store.list('jobs', 'k8s-upgrade');
    const name = job?.metadata.name ?? '';
    expect(outcome).toBe('blocked');
    expect(message).toContain(`dispatched as Job ${name}, and ${name} is not scheduled: ${noNode}`);
    expect(message).toContain(`kubectl -n k8s-upgrade delete job ${name}`);
    // Once the Job is deleted, as the message says, the next detection dispatches again.
    lab.api.store.remove('jobs', 'k8s-upgrade', name);
    lab.api.apply([executionCronJob()]);
    expect((await detect(context(offered, 'job', '1s'), false)).outcome).toBe('done');
    expect(lab.api.store.list('jobs', 'k8s-upgrade')).toHaveLength(1);
  });

  it('without a pod is reported, too', async () => {
    fresh();
    const quota = executionCronJob() as {
      spec: { jobTemplate: { spec: { suspend?: boolean } } };
    } & KubeObject;
    quota.spec.jobTemplate.spec.suspend = true;
    lab.api.apply([quota]);
    const { outcome, message } = await detect(context(offered, 'job', '1s'), false);
    expect([outcome, message]).toEqual(['blocked', expect.stringContaining('no pod was created for it')]);
  });

  it('without a pod is reported by the next detection, too', async () => {
    fresh();
    lab.api.apply([
      { ...job({}), spec: { template: { spec: { ...template.spec, ...nowhere } } } } as KubeObject,
    ]);
    const ctx = context(offered, 'agent-service', '10ms');
    const none = { kind: 'PodList', apiVersion: 'v1', metadata: {}, items: [] };
    ctx.client.core.listNamespacedPod = async () => none as unknown as V1PodList;
    const { outcome, message } = await detect(ctx, false);
    expect([outcome, message]).toEqual([
      'blocked',
      expect.stringContaining('not dispatched, upgrade-1 is not scheduled: no pod was created for it'),
    ]);
  });

  it('makes the next detection held at first, and blocked after timing.unschedulable', async () => {
    fresh();
    const metadata = { labels: { [jobLabels.run]: 'r' } };
    const spec = { template: { metadata, spec: { ...template.spec, ...nowhere } } };
    lab.api.apply([{ ...job({}), spec } as KubeObject]);
    await until(lab.api, () =>
      lab.api.store.list('pods', 'k8s-upgrade').find(({ status }) => JSON.stringify(status).includes(noNode)),
    );
    expect(await detect(context(offered), false)).toMatchObject({
      outcome: 'held',
      message: expect.stringContaining('Job upgrade-1 has not ended'),
    });
    const { outcome, message } = await detect(context(offered, 'agent-service', '10ms'), false);
    expect([outcome, message]).toEqual([
      'blocked',
      expect.stringContaining(`not dispatched, upgrade-1 is not scheduled: ${noNode}`),
    ]);
    expect(dispatched()).toEqual([]);
  });
});

it('a stranded Job makes the detection blocked, with the command to delete it', async () => {
  fresh();
  lab.api.apply([job({ terminating: 1 }), lease(minutes(12))]);
  const ctx = context(['1.34.2', '1.34.5']);
  ctx.client.core.listNamespacedPod = async () =>
    ({ kind: 'PodList', apiVersion: 'v1', metadata: {}, items: [terminating('upgrade-1', 10)] }) as V1PodList;
  const { outcome, message } = await detect(ctx, false);
  expect(outcome).toBe('blocked');
  expect(message).toContain(
    'upgrade-1 is stranded on a node that does not respond: pod upgrade-1-pod on node7 is being deleted',
  );
  expect(message).toContain('kubectl -n k8s-upgrade delete job upgrade-1');
  lab.api.apply([lease(minutes(0))]);
  expect((await detect(ctx, false)).outcome).toBe('held');
  expect(dispatched()).toEqual([]);
});

describe('nothing is dispatched', () => {
  const cases: [why: string, prepare: () => void, message: string][] = [
    [
      'while somebody holds the lease',
      () => lab.api.apply([lease(minutes(0))]),
      'a run is in progress: run/pod has been running',
    ],
    [
      'while a Job is active',
      () => lab.api.apply([job({ active: 1 })]),
      'a run is in progress: Job upgrade-1 has not ended',
    ],
    ['while upgrades are halted', () => lab.api.apply([killSwitch]), 'upgrades are halted: disk swap'],
    [
      'while the run of the last dispatch has not started',
      () => annotate({ [keys.dispatched]: `1.34.5 ${minutes(5)}` }),
      'ago and has not started',
    ],
  ];
  test.each(cases)('%s', async (_why, prepare, message) => {
    fresh();
    prepare();
    const before = annotations();
    expect(await detect(context(['1.34.2', '1.34.5']), false)).toMatchObject({
      outcome: 'held',
      message: expect.stringContaining(message),
    });
    expect([dispatched(), annotations()]).toEqual([[], before]);
  });

  const past: [what: string, prepare: () => void][] = [
    ['a lease that has expired', () => lab.api.apply([lease(minutes(5))])],
    [
      'a Job that has failed (F6)',
      () => lab.api.apply([job({ conditions: [{ type: 'Failed', status: 'True' }] })]),
    ],
    ['an old dispatch whose run never started', () => annotate({ [keys.dispatched]: `1.34.5 ${longAgo}` })],
    ['a dispatch of another target', () => annotate({ [keys.dispatched]: `1.34.4 ${minutes(5)}` })],
    ['an unreadable dispatch annotation', () => annotate({ [keys.dispatched]: 'nonsense' })],
  ];
  test.each(past)('but not because of %s', async (_what, prepare) => {
    fresh();
    prepare();
    await detect(context(['1.34.2', '1.34.5']), false);
    expect(dispatched()).toEqual(['1.34.5']);
  });
});

describe('a leaked in-flight annotation (F7)', () => {
  const leaked = (started: string) =>
    annotate({
      [keys.inFlight]: started,
      [keys.target]: '1.34.2',
      [keys.kind]: 'patch',
      [keys.snapshotPath]: '/x.db',
    });

  it('is cleared when it is older than any run, no run is in progress and no node is in progress', async () => {
    fresh();
    leaked(longAgo);
    await detect(context(['1.34.2']), false);
    expect(annotations()).toEqual({});
    expect(logged).toContainEqual(expect.stringContaining('clearing its annotations'));
  });

  it('stays in a dry-run, which reports that it would be cleared, also with an unreadable target', async () => {
    fresh();
    annotate({ [keys.inFlight]: longAgo, [keys.target]: 'nonsense', [keys.kind]: 'patch' });
    const before = annotations();
    logged.length = 0;
    await detect(context(['1.34.2']), true);
    expect(annotations()).toEqual(before);
    expect(logged).toContainEqual(
      expect.stringMatching(/^the rollout to an unreadable release .* would be cleared \(dry-run\)$/),
    );
  });

  const kept: [what: string, prepare: () => void][] = [
    [
      'F11 F47: a node is cordoned by it, and not changed yet',
      () => {
        leaked(longAgo);
        const cordoned = node('node1', '1.34.2', { [keys.cordoned]: longAgo });
        lab.api.apply([{ ...cordoned, spec: { unschedulable: true } } as KubeObject]);
      },
    ],
    ['it is younger than a run may be', () => leaked(minutes(60))],
    ['a run is in progress', () => [leaked(longAgo), lab.api.apply([lease(minutes(0))])]],
    ['the cluster has two releases', () => [leaked(longAgo), lab.api.apply([node('node1', '1.34.1')])]],
    ['only the API server is behind', () => [leaked(longAgo), lab.api.setVersion('1.34.1')]],
    [
      'a node is in progress',
      () => [
        leaked(longAgo),
        lab.api.apply([node('node1', '1.34.2', { [keys.cordoned]: longAgo, [keys.changed]: minutes(1) })]),
      ],
    ],
  ];
  test.each(kept)('stays when %s', async (_what, prepare) => {
    fresh();
    prepare();
    await detect(context(['1.34.2', '1.34.5']), true);
    await detect(context(['1.34.2']), false);
    expect(annotations()[keys.inFlight]).toBeDefined();
  });
});

describe('a dispatch that fails', () => {
  it('because the token is missing is bad input and writes nothing', async () => {
    lab.api.apply([node('master', '1.34.2')]);
    const ctx = context(['1.34.2', '1.34.5']);
    const { dispatch } = ctx.settings;
    const agentService = { ...dispatch.agentService, tokenFile: '/nowhere/token' };
    const settings = { ...ctx.settings, dispatch: { ...dispatch, agentService } };
    expect(await rejection(detect({ ...ctx, settings }, false))).toMatchObject({ code: 'badInput' });
    expect(annotations()).toEqual({});
  });

  it('is discarded when it certainly did not arrive, so that the next detection tries again', async () => {
    fresh();
    service.queueFull = true;
    const ctx = context(['1.34.2', '1.34.5']);
    expect(await rejection(detect(ctx, false))).toMatchObject({ code: 'held' });
    expect(annotations()[keys.dispatched]).toBeUndefined();
    service.queueFull = false;
    expect((await detect(ctx, false)).outcome).toBe('done');
  });

  it('stays recorded when it may have arrived, so that it does not arrive twice', async () => {
    fresh();
    service.faults = { reset: true };
    const ctx = context(['1.34.2', '1.34.5']);
    expect(await rejection(detect(ctx, false))).toMatchObject({ code: 'failed' });
    expect(annotations()[keys.dispatched]).toMatch(/^1\.34\.5 /);
    service.faults = {};
    expect(await detect(ctx, false)).toMatchObject({ outcome: 'held' });
    expect(dispatched()).toEqual([]);
  });

  it('two detections at the same time dispatch once, and the other one reports that', async () => {
    lab.api.apply([node('master', '1.34.2'), node('worker', '1.34.2')]);
    const both = [context(['1.34.5']), context(['1.34.5'])];
    const ends = await Promise.all(
      both.map(async (ctx) => ({ by: ctx.processName, ...(await detect(ctx, false)) })),
    );
    expect(dispatched()).toEqual(['1.34.5']);
    const first = ends.find(({ outcome }) => outcome === 'done');
    const other = ends.find(({ outcome }) => outcome === 'held');
    expect(other?.message).toMatch(
      new RegExp(`not dispatched, it was dispatched \\S+ ago by ${first?.by} and has not started`),
    );
  });

  it('a detection recognizes its own record when a lost response made it write that twice', async () => {
    lab.api.apply([node('master', '1.34.2'), node('worker', '1.34.2')]);
    const ctx = context(['1.34.5']);
    const patchNamespace = async (record: Record<string, string | null>, version?: string) => {
      await ctx.writer.patchNamespace(record, version);
      if (version !== undefined) await ctx.writer.patchNamespace(record, version);
    };
    const { outcome } = await detect({ ...ctx, writer: { ...ctx.writer, patchNamespace } }, false);
    expect(outcome).toBe('done');
    expect(dispatched()).toEqual(['1.34.5']);
  });

  it('two detections at the same time create one Job', async () => {
    lab.api.apply([node('master', '1.34.2'), node('worker', '1.34.2'), executionCronJob()]);
    const ends = await Promise.all([1, 2].map(() => detect(context(['1.34.5'], 'job'), false)));
    expect(ends.map(({ outcome }) => outcome).sort()).toEqual(['done', 'held']);
    expect(lab.api.store.list('jobs', 'k8s-upgrade')).toHaveLength(1);
  });

  it.each([
    ['is held while the Job may still be created', 5, 'held', 0],
    ['dispatches again once that is no longer possible', 15, 'done', 1],
  ])('a detection after a recorded dispatch without a Job %s', async (_what, age, outcome, jobs) => {
    lab.api.apply([node('master', '1.34.2'), node('worker', '1.34.2'), executionCronJob()]);
    annotate({ [keys.dispatched]: `1.34.5 ${minutes(age)} 0badcafe` });
    expect((await detect(context(['1.34.5'], 'job'), false)).outcome).toBe(outcome);
    expect(lab.api.store.list('jobs', 'k8s-upgrade')).toHaveLength(jobs);
  });
});
