import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import type { TestLab } from '../../../test/lab/api/testing.ts';
import { annotationsReader } from '../rollout/node-annotations.ts';
import { connect, startLab } from '../testing/api.ts';
import { testSettings } from '../testing/cluster.ts';
import { rejection } from '../testing/files.ts';
import { clusterReader } from './reader.ts';
import { clusterWriter } from './writer.ts';

let lab: TestLab;
beforeEach(async () => {
  lab = await startLab();
});
afterEach(() => lab.stop());

it('patches a node only if it has not changed since it was read (F11)', async () => {
  const client = connect(lab);
  const writer = clusterWriter(client, 'k8s-upgrade');
  const [node] = await clusterReader(client, testSettings(), async () =>
    annotationsReader('viktorbarzin.me', undefined),
  ).nodes();
  lab.api.store.modify('nodes', undefined, 'one', ({ spec }) => {
    if (spec) spec.unschedulable = true;
  });
  const late = writer.patchNode('one', { 'example.com/cordoned': 'run' }, true, node?.version);
  expect(await rejection(late)).toMatchObject({ status: 409 });
  // Repeated because a controller writes to a cordoned node, too.
  await vi.waitFor(async () => {
    const now = (
      await clusterReader(client, testSettings(), async () =>
        annotationsReader('viktorbarzin.me', undefined),
      ).nodes()
    ).find(({ name }) => name === 'one');
    expect(now?.unschedulable).toBe(true);
    await writer.patchNode('one', { 'example.com/cordoned': null }, false, now?.version);
  });
  expect(lab.api.store.get('nodes', undefined, 'one')?.spec?.unschedulable).toBeUndefined();
});
