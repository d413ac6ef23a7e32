import { afterAll, beforeAll, beforeEach, describe, expect, it, test } from 'vitest';
import type { TestLab } from '../../../test/lab/api/testing.ts';
import { clusterWriter } from '../cluster/writer.ts';
import { annotationKeys } from '../names.ts';
import { parseRelease } from '../release.ts';
import { connect, startLab } from '../testing/api.ts';
import { inFlightOf, namespaceJournal } from './journal.ts';

const prefix = 'example.com';
const keys = annotationKeys(prefix);
const target = parseRelease('test', '1.34.5');
let lab: TestLab;
beforeAll(async () => {
  lab = await startLab();
});
afterAll(() => lab.stop());
beforeEach(() => annotate({ kept: 'yes' }));

const annotations = () => lab.api.store.get('namespaces', undefined, 'k8s-upgrade')?.metadata.annotations;
const annotate = (given: Record<string, string>) =>
  void lab.api.store.modify('namespaces', undefined, 'k8s-upgrade', (found) => {
    found.metadata.annotations = given;
  });
function open() {
  const client = connect(lab);
  return namespaceJournal(client, clusterWriter(client, 'k8s-upgrade'), 'k8s-upgrade', prefix);
}

describe('the journal', () => {
  it('stores a rollout in annotations until it is cleared, and leaves other annotations alone', async () => {
    const journal = open();
    expect(await journal.read()).toBeUndefined();
    const atStart = { unready: ['apps/Deployment/web', 'apps/Job/backup'], addOns: 'coredns=absent' };
    const started = await journal.begin(target, 'patch', false, atStart);
    await journal.recordSnapshot('/backup/a.db');
    expect(annotations()).toEqual({
      kept: 'yes',
      [keys.inFlight]: started.started,
      [keys.target]: '1.34.5',
      [keys.kind]: 'patch',
      [keys.snapshotPath]: '/backup/a.db',
      [keys.unready]: 'apps/Deployment/web apps/Job/backup',
      [keys.addOns]: 'coredns=absent',
    });
    expect(await journal.read()).toEqual({ ...started, snapshotPath: '/backup/a.db' });
    await journal.clear();
    expect(annotations()).toEqual({ kept: 'yes' });
  });

  it('records the workloads that are not Ready, or only how many when there are too many (F34)', async () => {
    const journal = open();
    const begin = (unready: string[]) =>
      journal.begin(target, 'patch', false, { unready, addOns: undefined });
    await begin(['apps/Deployment/web', 'apps/Deployment/web']);
    expect((await journal.read())?.unready).toEqual(new Set(['apps/Deployment/web']));
    await journal.clear();
    const many = Array.from({ length: 101 }, (_, i) => `apps/Deployment/web-${i}`);
    expect((await begin(many)).unready).toBeUndefined();
    expect(annotations()).toMatchObject({ [keys.unready]: '101' });
    expect((await journal.read())?.unready).toBeUndefined();
    await journal.clear();
    await begin([]);
    expect((await journal.read())?.unready).toEqual(new Set());
  });

  const recorded = {
    [keys.inFlight]: '2026-01-04T12:00:00Z',
    [keys.target]: '1.34.5',
    [keys.kind]: 'patch',
    [keys.snapshotPath]: '/a.db',
  };

  it('keeps start and snapshot when started again for the same target, and replaces them for another', async () => {
    const journal = open();
    annotate(recorded);
    const same = await journal.begin(target, 'patch', false);
    expect(same).toMatchObject({ started: '2026-01-04T12:00:00Z', snapshotPath: '/a.db' });
    const other = await journal.begin(parseRelease('t', '1.34.6'), 'patch', false);
    expect(Date.now() - other.startedAt).toBeLessThan(10_000);
    expect(annotations()).not.toHaveProperty([keys.snapshotPath]);
    expect(annotations()).toMatchObject({ [keys.target]: '1.34.6' });
  });

  it('keeps them for another target, too, once the rollout in flight has changed the cluster', async () => {
    const journal = open();
    annotate(recorded);
    const other = await journal.begin(parseRelease('t', '1.35.1'), 'minor', true);
    expect(annotations()).toEqual({ ...recorded, [keys.target]: '1.35.1', [keys.kind]: 'minor' });
    expect(await journal.read()).toEqual(other);
    annotate({ [keys.snapshotPath]: '/a.db' });
    const fresh = await journal.begin(target, 'patch', true);
    expect(await journal.read()).toEqual(fresh);
    expect(fresh.snapshotPath).toBeUndefined();
  });

  it('records no snapshot while no rollout is in flight', async () => {
    await open().recordSnapshot('/a.db');
    expect(annotations()).toEqual({ kept: 'yes' });
  });

  it('clears the dispatch annotation once a run has started', async () => {
    annotate({ [keys.dispatched]: '1.34.5 2026-01-04T12:00:00Z', kept: 'yes' });
    await open().acknowledge();
    expect(annotations()).toEqual({ kept: 'yes' });
  });

  test.each([
    [{}, undefined],
    [{ [keys.target]: '1.34.5' }, undefined],
    [
      { [keys.inFlight]: '2026-01-04T12:00:00Z', [keys.target]: 'v1.34.5', [keys.kind]: 'major' },
      {
        started: '2026-01-04T12:00:00Z',
        startedAt: Date.UTC(2026, 0, 4, 12),
        target: undefined,
        kind: undefined,
      },
    ],
    [{ [keys.inFlight]: 'true' }, { started: 'true', startedAt: 0 }],
  ])('reads annotations that a person may have written: %j', (given, expected) => {
    const read = inFlightOf(given, prefix);
    if (expected === undefined) expect(read).toBeUndefined();
    else expect(read).toMatchObject(expected);
  });
});
