import type { V1Node } from '@kubernetes/client-node';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { TestLab } from '../../../test/lab/api/testing.ts';
import { annotationsReader } from '../rollout/node-annotations.ts';
import { connect, startLab } from '../testing/api.ts';
import { testSettings } from '../testing/cluster.ts';
import { rejection } from '../testing/files.ts';
import { within } from '../wait.ts';
import type { KubernetesClient } from './client.ts';
import { clusterReader } from './reader.ts';
import { waitForObjects } from './watch.ts';

let lab: TestLab;
const never = new AbortController().signal;
beforeAll(async () => {
  lab = await startLab();
});
afterAll(() => lab.stop());
afterEach(() => {
  lab.api.faults.clear();
  lab.api.requests.clear();
});

const label = (value: string) =>
  lab.api.store.modify('nodes', undefined, 'one', (node) => {
    node.metadata.labels = { ...node.metadata.labels, stage: value };
  });
const lists = () => lab.api.requests.matching({ resource: 'nodes', verb: 'list' }).length;
const watches = () => lab.api.requests.matching({ resource: 'nodes', verb: 'watch' }).length;
const soon = (action: () => void, ms = 150) => void setTimeout(action, ms);

/** Waits until node `one` has the label. */
const waitFor = (client: KubernetesClient, value: string, ms = 5_000, signal = never) =>
  waitForObjects<V1Node, string>(
    client,
    { path: '/api/v1/nodes', list: () => client.call('list nodes', () => client.core.listNode()) },
    `label ${value}`,
    (nodes) => nodes.find((node) => node.metadata?.labels?.stage === value)?.metadata?.name,
    within(ms, signal),
    (nodes) => nodes.map((node) => node.metadata?.name ?? ''),
  );

describe('waiting for objects', () => {
  it('ends at once when the first list is enough', async () => {
    label('there');
    expect(await waitFor(connect(lab), 'there')).toBe('one');
    expect([lists(), watches()]).toEqual([1, 0]);
  });

  it('ends with the change, without requests in between', async () => {
    soon(() => label('changed'), 400);
    const started = performance.now();
    expect(await waitFor(connect(lab), 'changed')).toBe('one');
    expect(performance.now() - started).toBeLessThan(1_200);
    expect([lists(), watches()]).toEqual([2, 1]);
  });

  it('lists again when the source is due, even without a change', async () => {
    const client = connect(lab);
    const due = Date.now() + 300;
    const source = {
      path: '/api/v1/nodes',
      list: () => client.call('list nodes', () => client.core.listNode()),
      due: () => due,
    };
    const done = () => (Date.now() >= due ? 'due' : undefined);
    expect(await waitForObjects(client, source, 'time', done, within(5_000, never))).toBe('due');
    expect(Date.now() - due).toBeLessThan(1_000);
  });

  it('fails at its deadline with what is missing', async () => {
    expect(await rejection(waitFor(connect(lab), 'never', 200))).toMatchObject({
      name: 'TimeoutError',
      code: 'failed',
      pending: ['one', 'two'],
      message: expect.stringMatching(/^label never: gave up after 0\.\ds; still pending: one, two$/),
    });
  });

  it('rejects with the reason of its signal when aborted', async () => {
    const stop = new AbortController();
    soon(() => stop.abort(new Error('enough')), 100);
    expect((await rejection(waitFor(connect(lab), 'never', 5_000, stop.signal))).message).toBe('enough');
  });

  it('survives an outage (F5)', async () => {
    soon(() => void lab.api.outage(300).then(() => label('after the outage')), 100);
    expect(await waitFor(connect(lab), 'after the outage')).toBe('one');
  });

  it('continues when its resourceVersion has expired (410)', async () => {
    lab.api.faults.add({ match: { resource: 'nodes', verb: 'watch' }, times: 1, action: { latencyMs: 100 } });
    soon(() => {
      label('compacted');
      lab.api.store.compact();
    }, 50);
    expect(await waitFor(connect(lab), 'compacted')).toBe('one');
  });

  it('does not list in a busy loop when no watch can be opened', async () => {
    lab.api.faults.add({ match: { resource: 'nodes', verb: 'watch' }, action: { status: 500 } });
    soon(() => label('unwatched'), 900);
    expect(await waitFor(connect(lab), 'unwatched')).toBe('one');
    expect(lists()).toBeLessThan(6);
  });

  it('fails when listing is refused', async () => {
    const client = connect(lab, {}, { namespace: 'apps', serviceAccount: 'nobody' });
    expect(await rejection(waitFor(client, 'x'))).toMatchObject({ status: 403 });
  });
});

describe('the reader', () => {
  const open = () =>
    clusterReader(connect(lab), testSettings(), async () => annotationsReader('viktorbarzin.me', undefined));

  it('returns the readable nodes, and an error for each unreadable one', async () => {
    lab.api.store.modify('nodes', undefined, 'two', (node) => {
      if (node.status?.nodeInfo) node.status.nodeInfo.kubeletVersion = 'v1.35.0-rc.1';
    });
    expect((await open().nodes()).map((node) => node.name)).toEqual(['one']);
    expect((await open().unreadableNodes()).map((one) => one.message)).toEqual([
      expect.stringContaining('node two kubeletVersion: "v1.35.0-rc.1" is not allowed'),
    ]);
  });

  it('waits for one node', async () => {
    soon(() =>
      lab.api.store.modify('nodes', undefined, 'two', (node) => {
        if (node.status?.nodeInfo) node.status.nodeInfo.kubeletVersion = 'v1.34.5';
      }),
    );
    await open().waitForNode('two', 'its upgrade', (node) => node.release === '1.34.5', within(5_000, never));
    const refused = open().waitForNode('two', 'a miracle', () => false, within(50, never));
    expect((await rejection(refused)).message).toContain('a miracle: gave up after');
  });

  it('returns the release of the API server', async () => {
    expect(await open().serverRelease()).toBe('1.34.2');
    lab.api.setVersion('1.35.0-rc.1');
    const refused = rejection(open().serverRelease());
    expect(await refused).toMatchObject({
      code: 'badInput',
      message: expect.stringContaining('"v1.35.0-rc.1"'),
    });
    lab.api.setVersion('1.34.2');
  });

  it('rejects a cluster without nodes', async () => {
    const before = lab.api.store.list('nodes');
    for (const node of before) lab.api.store.remove('nodes', undefined, node.metadata.name);
    expect(await rejection(open().nodes())).toMatchObject({ code: 'badInput' });
    lab.api.apply(before as never);
    expect((await open().nodes()).map((node) => node.name)).toEqual(['one', 'two']);
  });
});
