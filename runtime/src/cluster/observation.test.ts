import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import type { TestLab } from '../../../test/lab/api/testing.ts';
import type { Node } from '../../../test/lab/api/types.ts';
import { connect, startLab } from '../testing/api.ts';
import { rejection } from '../testing/files.ts';
import { within } from '../wait.ts';
import { observe } from './observation.ts';

let lab: TestLab;
const never = new AbortController().signal;
beforeAll(async () => {
  lab = await startLab();
});
afterAll(() => lab.stop());
beforeEach(() => lab.api.requests.clear());

const setReady = (status: 'True' | 'False', node = 'one') =>
  lab.api.store.modify('nodes', undefined, node, (object: Node) => {
    object.status = { ...object.status, conditions: [{ type: 'Ready', status }] };
  });
const beat = () =>
  lab.api.store.modify('nodes', undefined, 'two', (object: Node) => {
    object.metadata.annotations = { heartbeat: String(Math.random()) };
  });
const lists = (resource = 'nodes') => lab.api.requests.matching({ resource, verb: 'list' }).length;
/** Milliseconds until the next change. */
const timed = async (next: Promise<void>) => {
  const started = performance.now();
  await next;
  return performance.now() - started;
};

it('notices a change that comes while it waits, and one that came before', async () => {
  const observation = await observe(connect(lab), ['nodes']);
  setTimeout(() => setReady('False'), 200);
  expect(await timed(observation.next(within(20_000, never)))).toBeLessThan(5_000);
  setReady('True');
  expect(await timed(observation.next(within(20_000, never)))).toBeLessThan(5_000);
});

it('does not report a change twice, and ends with its wait', async () => {
  const observation = await observe(connect(lab), ['nodes', 'control-plane pods']);
  setReady('False');
  await observation.next(within(20_000, never));
  expect(await timed(observation.next(within(300, never)))).toBeGreaterThanOrEqual(299);
});

it('sends no request for what kubelets report all the time', async () => {
  const observation = await observe(connect(lab), ['nodes']);
  const beating = setInterval(beat, 10);
  await observation.next(within(600, never));
  clearInterval(beating);
  expect(lists()).toBeLessThanOrEqual(3);
});

it('notices the control-plane pods, and no others with their label (F39)', async () => {
  const pod = (name: string, annotations: Record<string, string> = {}) => ({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace: 'kube-system', labels: { tier: 'control-plane' }, annotations },
    spec: { nodeName: 'one', containers: [{ name: 'c', image: 'c' }] },
    status: { phase: 'Running', conditions: [{ type: 'Ready', status: 'False' }] },
  });
  lab.api.apply([pod('etcd-one', { 'kubernetes.io/config.mirror': 'x' }), pod('etcd-operator')]);
  const become = (name: string) =>
    lab.api.store.modify('pods', 'kube-system', name, (object) => {
      object.status = { ...object.status, conditions: [{ type: 'Ready', status: 'True' }] } as never;
    });
  const observation = await observe(connect(lab), ['control-plane pods']);
  become('etcd-operator');
  expect(await timed(observation.next(within(300, never)))).toBeGreaterThanOrEqual(299);
  become('etcd-one');
  expect(await timed(observation.next(within(20_000, never)))).toBeLessThan(5_000);
});

it('survives an outage of the API server', async () => {
  setReady('True');
  const observation = await observe(connect(lab), ['nodes']);
  setTimeout(() => void lab.api.outage(300).then(() => setReady('False')), 100);
  expect(await timed(observation.next(within(20_000, never)))).toBeLessThan(10_000);
});

it('waits where nothing can be observed, and rejects when it is aborted', async () => {
  const observation = await observe(connect(lab), []);
  // A timer may be a little early.
  expect(await timed(observation.next(within(200, never)))).toBeGreaterThan(150);
  expect(lists() + lists('pods')).toBe(0);
  const stop = new AbortController();
  setTimeout(() => stop.abort(new Error('enough')), 50);
  const nodes = await observe(connect(lab), ['nodes']);
  expect((await rejection(nodes.next(within(20_000, stop.signal)))).message).toBe('enough');
});
