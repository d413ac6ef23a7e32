import type { V1ContainerStatus, V1Job, V1Pod } from '@kubernetes/client-node';
import { afterAll, beforeAll, describe, expect, it, onTestFinished, test } from 'vitest';
import { type TestLab, testJob } from '../../../test/lab/api/testing.ts';
import type { KubeObject } from '../../../test/lab/api/types.ts';
import { jobLabels } from '../names.ts';
import type { RunEvent } from '../report/events.ts';
import { connect, startLab } from '../testing/api.ts';
import { rejection } from '../testing/files.ts';
import { within } from '../wait.ts';
import { followRun, outcomeOf } from './follow.ts';
import { assertScheduled } from './unscheduled.ts';

const namespace = 'k8s-upgrade';
let lab: TestLab;
beforeAll(async () => {
  lab = await startLab();
});
afterAll(() => lab.stop());

/** A Job that runs this script. */
function runJob(runId: string, number: number, script: string, podSpec: object = {}): KubeObject {
  const podFailurePolicy = {
    rules: [{ action: 'FailJob', onExitCodes: { operator: 'In', values: [1, 3] } }],
  };
  const name = `${runId}-${number}`;
  const labels = { [jobLabels.run]: runId, [jobLabels.number]: String(number) };
  const job = testJob(name, script, { backoffLimit: 6, podFailurePolicy }, podSpec);
  return { ...job, metadata: { name, namespace, labels } } as KubeObject;
}

/** Logs the end of a run as an executor does. */
const ended = (outcome: string) => {
  const event = { type: 'run-ended', outcome, target: '1.34.5', message: 'm' } as RunEvent;
  return `echo '${JSON.stringify({ level: 30, event, msg: `${outcome}: m` })}'`;
};

async function follow(runId: string, unschedulable = 60_000) {
  const client = connect(lab);
  const lines: string[] = [];
  const job = await client.batch.readNamespacedJob({ name: `${runId}-1`, namespace });
  const onLine = (line: string) => void lines.push(line);
  const wait = within(20_000, client.options.signal);
  const outcome = await followRun({ client, namespace, wait, onLine, unschedulable }, job);
  return { outcome, lines };
}

it('a Job has the outcome of its newest pod, whatever the names of its pods', () => {
  const pod = (name: string, age: number, exitCode: number): V1Pod => ({
    metadata: { name, creationTimestamp: new Date(Date.now() - age) },
    status: { containerStatuses: [{ state: { terminated: { exitCode } } } as V1ContainerStatus] },
  });
  const job: V1Job = { status: { conditions: [{ type: 'Failed', status: 'True' }] } };
  expect(outcomeOf(job, [pod('job-aaa', 10_000, 3), pod('job-zzz', 60_000, 137)])).toBe('blocked');
  expect(outcomeOf(job, [pod('job-aaa', 60_000, 3), pod('job-zzz', 10_000, 137)])).toBe('failed');
});

it('a Job has the outcome of its program, also where a sidecar comes first in its pod', () => {
  const ended = (name: string, exitCode: number) => ({ name, state: { terminated: { exitCode } } });
  const statuses = [ended('proxy', 0), ended('run', 3)] as V1ContainerStatus[];
  const job: V1Job = {
    spec: { template: { spec: { containers: [{ name: 'run' }] } } },
    status: { conditions: [{ type: 'Failed', status: 'True' }] },
  };
  expect(outcomeOf(job, [{ status: { containerStatuses: statuses } }])).toBe('blocked');
});

describe('a run is followed to its end', () => {
  const cases: [what: string, script: string, outcome: string][] = [
    ['done', `${ended('done')}; exit 0`, 'done'],
    ['held, with the exit code of done (F15)', `${ended('held')}; exit 0`, 'held'],
    ['blocked', `${ended('blocked')}; exit 3`, 'blocked'],
    ['failed', `${ended('failed')}; exit 1`, 'failed'],
    ['a line that is not an event is ignored', `echo 'then "run-ended" held'; exit 0`, 'done'],
  ];
  test.each(cases)('%s', async (what, script, outcome) => {
    const runId = `ends-${cases.findIndex(([name]) => name === what)}`;
    lab.api.apply([runJob(runId, 1, script)]);
    expect(await follow(runId)).toMatchObject({ outcome, lines: [expect.stringContaining('run-ended')] });
  });

  it('with the outcome that its last process logged, not an earlier one that was killed', async () => {
    const once = `[ -e ${lab.dir}/once ] && { ${ended('done')}; exit 0; }; touch ${lab.dir}/once`;
    lab.api.apply([runJob('twice', 1, `${once}; ${ended('held')}; kill -9 $$`)]);
    expect((await follow('twice')).outcome).toBe('done');
  });

  it('from one Job to the next, with the outcome of the last', async () => {
    lab.api.apply([runJob('two-jobs', 2, ended('held')), runJob('two-jobs', 1, 'echo handed over')]);
    const { outcome, lines } = await follow('two-jobs');
    expect([outcome, lines[0], lines.length]).toEqual(['held', 'handed over', 2]);
  });
});

it.each([
  ['before the log is there', 5_000],
  ['in the middle of the log', 0],
])("aborted %s, a follower ends at once with the signal's reason", async (_when, latencyMs) => {
  const runId = `off-${latencyMs}`;
  lab.api.faults.add({ match: { resource: 'pods', subresource: 'log' }, action: { latencyMs } });
  lab.api.apply([runJob(runId, 1, 'echo started; sleep 8')]);
  const client = connect(lab);
  const stop = new AbortController();
  const job = await client.batch.readNamespacedJob({ name: `${runId}-1`, namespace });
  const onLine = () => stop.abort(new Error('enough'));
  if (latencyMs > 0) setTimeout(() => stop.abort(new Error('enough')), 1_000);
  const wait = within(20_000, stop.signal);
  const startedAt = Date.now();
  const options = { client, namespace, wait, onLine, unschedulable: 60_000 };
  expect((await rejection(followRun(options, job))).message).toBe('enough');
  expect(Date.now() - startedAt).toBeLessThan(4_000);
  lab.api.faults.clear();
});

describe('a follower', () => {
  /** Follows a Job whose pod is Running but whose log cannot be read. */
  async function silentJob(runId: string, deletedAt?: Date) {
    lab.api.apply([runJob(runId, 1, 'sleep 30')]);
    const client = connect(lab);
    const job = await client.batch.readNamespacedJob({ name: `${runId}-1`, namespace });
    lab.api.faults.add({ match: { resource: 'pods', subresource: 'log' }, action: { status: 500 } });
    onTestFinished(() => lab.api.faults.clear());
    const { readNamespacedPod } = client.core;
    client.core.readNamespacedPod = async (...args) => {
      const pod = await readNamespacedPod.apply(client.core, args);
      return deletedAt ? { ...pod, metadata: { ...pod.metadata, deletionTimestamp: deletedAt } } : pod;
    };
    const wait = within(deletedAt ? 20_000 : 2_000, client.options.signal);
    const options = { client, namespace, wait, onLine: () => {}, unschedulable: 60_000 };
    return { error: await rejection(followRun(options, job)) };
  }

  it('gives up at its deadline without a busy loop', async () => {
    const before = lab.api.requests.all.length;
    const { error } = await silentJob('silent');
    expect(error).toMatchObject({ name: 'TimeoutError' });
    expect(error.message).toMatch(/^waiting for the end of silent-1-\w+: gave up after [12]\.\ds$/);
    expect(lab.api.requests.all.length - before).toBeLessThan(40);
  });

  it("is blocked when the Job's node is gone for good", async () => {
    const { error } = await silentJob('gone', new Date(Date.now() - 10 * 60_000));
    expect(error).toMatchObject({ code: 'blocked' });
    expect(error.message).toContain('gone-1 is stranded on a node that does not respond');
  });
});

describe('an unscheduled Job (F4)', () => {
  const nowhere = { nodeSelector: { 'example.com/none': 'here' } };
  const reason = "0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector";

  it('is reported when no pod is created for it', async () => {
    lab.api.apply([runJob('podless', 1, 'true', nowhere)]);
    const client = connect(lab);
    const job = await client.batch.readNamespacedJob({ name: 'podless-1', namespace });
    const none = { kind: 'PodList', apiVersion: 'v1', metadata: {}, items: [] };
    client.core.listNamespacedPod = async () => none as never;
    const wait = within(20_000, client.options.signal);
    const options = { client, namespace, wait, onLine: () => {}, unschedulable: 500 };
    const error = await rejection(followRun(options, job));
    expect(error).toMatchObject({ code: 'blocked' });
    expect(error.message).toContain('no pod was created for it');
  });

  it('is reported at the time limit, although no event arrives then', async () => {
    lab.api.apply([runJob('pending', 1, 'true', nowhere)]);
    const startedAt = Date.now();
    const error = await rejection(follow('pending', 2_000));
    expect(error).toMatchObject({ code: 'blocked', message: expect.stringContaining(reason) });
    expect(error.hint).toContain(`kubectl -n ${namespace} delete job pending-1`);
    expect(Date.now() - startedAt).toBeLessThan(5_000);
  });

  it('is reported by the process that created it, without a follower', async () => {
    lab.api.apply([runJob('next', 2, 'true', nowhere), runJob('scheduled', 2, 'true')]);
    const client = connect(lab);
    const options = { client, namespace, unschedulable: 1_000, signal: client.options.signal };
    await assertScheduled(options, 'scheduled-2');
    expect(await rejection(assertScheduled(options, 'next-2'))).toMatchObject({
      code: 'blocked',
      message: expect.stringContaining(`next-2 is not scheduled:\n  - ${reason}`),
    });
  });
});
