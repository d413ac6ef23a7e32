import type { V1Pod } from '@kubernetes/client-node';
import { afterAll, afterEach, beforeAll, describe, expect, it, test } from 'vitest';
import type { TestLab } from '../../../test/lab/api/testing.ts';
import type { KubeObject } from '../../../test/lab/api/types.ts';
import { connect, startLab } from '../testing/api.ts';
import { rejection } from '../testing/files.ts';
import { within } from '../wait.ts';
import {
  hashesIn,
  judgeStaticPods,
  StaticPodObservation,
  type StaticPodsWait,
  waitForStaticPods,
} from './static-pods.ts';

const kubeletStart = Date.parse('2026-03-01T10:00:30Z');
const before = '2026-03-01T10:00:29Z';
const sameSecond = '2026-03-01T10:00:30Z';
const after = '2026-03-01T10:00:31Z';
const names = ['kube-apiserver-one', 'kube-controller-manager-one', 'kube-scheduler-one'];

/** A static pod that has been Ready since `at`, in a container that has run since then. */
const pod = (name: string, at = before, change: { ready?: 'True' | 'False'; uid?: string } = {}): V1Pod => ({
  metadata: {
    name,
    uid: change.uid ?? `uid-of-${name}`,
    annotations: { 'kubernetes.io/config.hash': `hash-of-${name}` },
  },
  status: {
    startTime: new Date(before),
    conditions: [{ type: 'Ready', status: change.ready ?? 'True', lastTransitionTime: new Date(at) }],
    containerStatuses: [{ state: { running: { startedAt: new Date(at) } } } as never],
  },
});
const nothing = { listed: new Set<string>(), answering: new Set<string>() };
const all = (at?: string, change?: Parameters<typeof pod>[2]) => names.map((name) => pod(name, at, change));

describe('the static pods of a node whose kubelet was restarted (F69)', () => {
  test.each([
    ['reported on since', all(after), { unready: [], silent: [] }],
    ['not reported on yet', all(before), { unready: [], silent: names }],
    [
      'reported on in the second of the restart, by whichever kubelet',
      all(sameSecond),
      { unready: [], silent: names },
    ],
    ['not Ready', all(after, { ready: 'False' }), { unready: names, silent: [] }],
    ['missing', all(after).slice(1), { unready: names.slice(0, 1), silent: [] }],
    [
      'being deleted',
      all(after).map((one) => ({ ...one, metadata: { ...one.metadata, deletionTimestamp: new Date() } })),
      { unready: names, silent: [] },
    ],
    [
      'Ready since, in a container from before: its probe has answered again',
      all(after).map((one) => ({ ...one, status: { ...one.status, containerStatuses: [] } })),
      { unready: [], silent: [] },
    ],
  ])('%s', (_what, pods, expected) => {
    expect(judgeStaticPods('one', pods, kubeletStart, nothing)).toEqual(expected);
  });

  it('listed by the restarted kubelet with the hash that the API shows', () => {
    const listed = new Set(['hash-of-kube-apiserver-one', 'hash-of-kube-scheduler-one', 'another']);
    const says = { ...nothing, listed };
    expect(judgeStaticPods('one', all(before), kubeletStart, says)).toEqual({
      unready: [],
      silent: ['kube-controller-manager-one'],
    });
    expect(judgeStaticPods('one', all(before, { ready: 'False' }), kubeletStart, says).unready).toEqual(
      names,
    );
  });
});

describe('a static pod that is not Ready yet', () => {
  const starting = all(after, { ready: 'False' });
  const answering = new Set(names.slice(1));

  it('is up when its probes answer', () => {
    expect(judgeStaticPods('one', starting, kubeletStart, { ...nothing, answering })).toEqual({
      unready: names.slice(0, 1),
      silent: [],
    });
  });

  it('stays silent when its kubelet has not reported on it since the restart', () => {
    const old = all(before, { ready: 'False' });
    expect(judgeStaticPods('one', old, kubeletStart, { ...nothing, answering }).silent).toEqual(
      names.slice(1),
    );
  });

  it('is not up while it is being deleted', () => {
    const deleted = starting.map((one) => ({
      ...one,
      metadata: { ...one.metadata, deletionTimestamp: new Date() },
    }));
    expect(judgeStaticPods('one', deleted, kubeletStart, { ...nothing, answering }).unready).toEqual(names);
  });
});

describe("the hashes in a kubelet's own list of its pods", () => {
  const listed = (annotations: Record<string, string> | undefined) => ({
    metadata: { name: 'one', annotations },
  });
  it.each([
    ['static pods', { items: [listed({ 'kubernetes.io/config.hash': 'a' }), listed(undefined)] }, ['a']],
    [
      'mirror pods, which are what the API shows',
      { items: [listed({ 'kubernetes.io/config.hash': 'a', 'kubernetes.io/config.mirror': 'a' })] },
      [],
    ],
    ['no pods', { items: [] }, []],
    ['no list', { kind: 'Status' }, []],
  ])('%s', (_what, list, hashes) => {
    expect([...hashesIn(JSON.stringify(list))]).toEqual(hashes);
  });

  it('none in what is no JSON', () => {
    expect(hashesIn('Error from server').size).toBe(0);
  });
});

/** Adds answers at these seconds and returns when the pods were certain. */
function certainAt(answers: readonly (readonly [at: number, pods: V1Pod[], took?: number])[]) {
  const observation = new StaticPodObservation('one', kubeletStart, 20_000);
  const at = answers.find(([seconds, pods, took = 0]) => {
    observation.add(pods, (seconds - took) * 1000, seconds * 1000);
    return observation.isCertain;
  });
  return at?.[0];
}

describe('the static pods are certain', () => {
  it('at once when the kubelet has reported on each', () => {
    expect(certainAt([[0, all(after)]])).toBe(0);
  });

  it('after 20 s of the same answer when it has not reported on one of them', () => {
    const mixed = [...all(after).slice(1), pod(names[0] ?? '', before)];
    expect(
      certainAt([
        [0, mixed],
        [19, mixed],
        [20, mixed],
      ]),
    ).toBe(20);
  });

  it('never while one is not Ready, and its time starts again', () => {
    const restarting = all(before, { ready: 'False' });
    expect(
      certainAt([
        [0, all()],
        [10, restarting],
        [25, all()],
        [44, all()],
        [45, all()],
      ]),
    ).toBe(45);
  });

  it('only 20 s after an outage of the API server, in which no kubelet could report', () => {
    expect(
      certainAt([
        [0, all()],
        [25, all(), 15],
        [44, all()],
        [45, all()],
      ]),
    ).toBe(45);
  });

  it('only 20 s after a pod was recreated with an old status', () => {
    const other = all(before, { uid: 'other' });
    expect(
      certainAt([
        [0, all()],
        [15, other],
        [20, other],
        [35, other],
      ]),
    ).toBe(35);
  });
});

describe('waiting for static pods', () => {
  let lab: TestLab;
  const never = new AbortController().signal;
  beforeAll(async () => {
    lab = await startLab();
  });
  afterAll(() => lab.stop());
  afterEach(() => {
    lab.api.requests.clear();
    for (const { metadata } of lab.api.store.list('pods'))
      lab.api.store.remove('pods', metadata.namespace, metadata.name);
  });

  const apply = (at: string, ready: 'True' | 'False' = 'True', node = 'one') =>
    lab.api.apply(
      names.map(
        (name): KubeObject => ({
          apiVersion: 'v1',
          kind: 'Pod',
          metadata: {
            name: name.replace('one', node),
            namespace: 'kube-system',
            labels: { tier: 'control-plane' },
            annotations: {
              'kubernetes.io/config.hash': `hash-of-${name}`,
              'kubernetes.io/config.mirror': `hash-of-${name}`,
            },
          },
          spec: {
            nodeName: node,
            containers: [{ name: 'c', image: 'c', readinessProbe: { httpGet: probeOf(name) } }],
          },
          status: {
            phase: 'Running',
            conditions: [{ type: 'Ready', status: ready, lastTransitionTime: at }],
          },
        }),
      ),
    );
  const probeOf = (name: string) => ({ host: '127.0.0.1', port: 10_250, path: `/${name}` });
  const unlisted = async (): Promise<ReadonlySet<string>> => new Set();
  const wait = (settle: number, ms = 10_000, listed = unlisted, answers?: StaticPodsWait['answers']) =>
    waitForStaticPods(
      connect(lab),
      { node: 'one', kubeletStart, settle, listed, ...(answers && { answers }) },
      within(ms, never),
    );

  it('ends with the report of the restarted kubelet, through an outage of the API server', async () => {
    apply(before);
    apply(before, 'False', 'two');
    setTimeout(() => apply(after, 'False'), 100);
    setTimeout(() => void lab.api.outage(300).then(() => apply(after)), 200);
    await wait(60_000);
    const statuses = lab.api.store.list('pods').filter((one) => one.spec?.nodeName === 'one');
    expect(statuses.map((one) => one.status?.conditions?.[0]?.lastTransitionTime)).toEqual(
      names.map(() => after),
    );
  });

  it('ends by itself where nothing is reported, and asks no more often than it must', async () => {
    apply(before);
    const started = performance.now();
    await wait(600);
    expect(performance.now() - started).toBeGreaterThanOrEqual(600);
    expect(lab.api.requests.matching({ resource: 'pods', verb: 'list' }).length).toBeLessThan(4);
  });

  it('ends as soon as the kubelet lists every pod with the hash that the API shows', async () => {
    apply(before);
    const lists = [[], names.slice(1), names].map(
      (listed) => new Set(listed.map((name) => `hash-of-${name}`)),
    );
    const left = [...lists];
    await wait(60_000, 10_000, async () => left.shift() ?? new Set());
    expect(left).toEqual([]);
  });

  it('waits where the kubelet lists other hashes, as it is going to recreate the pods', async () => {
    apply(before);
    const others = async () => new Set(names.map((name) => `other-hash-of-${name}`));
    expect((await rejection(wait(60_000, 1_500, others))).message).toContain('still pending');
  });

  it('does not ask the kubelet while a pod is not Ready, nor once it has reported on all', async () => {
    let asked = 0;
    const count = async () => {
      asked += 1;
      return new Set<string>();
    };
    apply(before, 'False');
    await rejection(wait(60_000, 100, count));
    apply(after);
    await wait(60_000, 10_000, count);
    expect(asked).toBe(0);
  });

  it('ends as soon as every probe answers, which is asked again without a change', async () => {
    apply(after, 'False');
    const asked: string[] = [];
    await wait(60_000, 10_000, unlisted, async (probe) => {
      asked.push(probe);
      return asked.length > names.length || !probe.includes('scheduler');
    });
    const urls = names.map((name) => `http://127.0.0.1:10250/${name}`);
    expect(asked).toEqual([...urls, ...urls]);
  });

  it('does not take a pod for Ready as its probes answer while its node has not said that it stays', async () => {
    apply(before, 'False');
    const error = await rejection(wait(60_000, 1_500, unlisted, async () => true));
    expect(error.message).toContain('still pending: kube-apiserver-one is Ready only by a report');
    await wait(
      60_000,
      10_000,
      async () => new Set(names.map((name) => `hash-of-${name}`)),
      async () => true,
    );
  });

  it('does not ask a pod that is Ready', async () => {
    apply(after);
    await wait(60_000, 10_000, unlisted, async (probe) => {
      throw new Error(`asked ${probe}`);
    });
  });

  it('names at its deadline what is missing', async () => {
    apply(before);
    expect((await rejection(wait(60_000, 100))).message).toContain(
      'still pending: kube-apiserver-one is Ready only by a report from before the restart',
    );
    apply(after, 'False');
    expect((await rejection(wait(60_000, 100))).message).toContain('kube-scheduler-one is not Ready');
  });
});
