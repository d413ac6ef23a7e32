import { describe, expect, it, test } from 'vitest';
import type { Sample } from '../../prometheus/metrics.ts';
import { parseRelease } from '../../release.ts';
import { clusterNode } from '../../testing/cluster.ts';
import { checkOneGate } from '../../testing/gate-context.ts';
import { removedApis, requestedQuery, scrapedQuery } from './removed-apis.ts';

const release = (text: string) => parseRelease('test', text);
const scraped = (...instances: string[]): Sample[] =>
  instances.map((instance) => ({ labels: { instance }, value: 400 }));
const call = (labels: Sample['labels'], value = 1): Sample => ({
  labels: { instance: 'a:6443', group: '', version: 'v1', resource: 'endpoints', ...labels },
  value,
});
const flowSchemas = { group: 'flowcontrol.apiserver.k8s.io', version: 'v1beta3', resource: 'flowschemas' };

describe('API versions that are still called', () => {
  const check = (requested: Sample[], seen = scraped('a:6443'), more: object = {}) =>
    checkOneGate(removedApis, { metrics: { [scrapedQuery]: seen, [requestedQuery]: requested }, ...more });

  const cases: [what: string, requested: Sample[], reasons: string[]][] = [
    ['none', [], []],
    [
      'one that the target removes',
      [call({ ...flowSchemas, removed_release: '1.35' })],
      ['flowcontrol.apiserver.k8s.io/v1beta3 flowschemas is still called, but 1.35 does not serve it'],
    ],
    [
      'one that an earlier minor removed',
      [call({ ...flowSchemas, removed_release: '1.32' })],
      [
        'flowcontrol.apiserver.k8s.io/v1beta3 flowschemas is still called, but 1.35 does not serve it (removed in 1.32)',
      ],
    ],
    ['one that a later minor removes', [call({ ...flowSchemas, removed_release: '1.36' })], []],
    [
      'one removed in 1.4, which is before 1.35',
      [call({ removed_release: '1.4' })],
      ['v1 endpoints is still called, but 1.35 does not serve it (removed in 1.4)'],
    ],
    ['one that is deprecated but not removed', [call({ removed_release: '' })], []],
    ['one whose metric is 0', [call({ ...flowSchemas, removed_release: '1.35' }, 0)], []],
    [
      'a subresource, at two API servers',
      ['a:6443', 'b:6443'].map((instance) =>
        call({ instance, subresource: 'status', removed_release: '1.35' }),
      ),
      ['v1 endpoints/status is still called, but 1.35 does not serve it'],
    ],
  ];
  test.each(cases)('%s', async (_what, requested, reasons) => {
    const verdict = await check(requested);
    expect(verdict.reasons).toEqual(reasons);
    expect(verdict).toMatchObject({
      open: reasons.length === 0,
      unknown: false,
      outcomeWhenClosed: 'blocked',
    });
    expect(verdict.notes).toEqual(reasons.length === 0 ? [] : [expect.stringContaining('audit log')]);
  });

  it('are unknown, and the gate closed, unless Prometheus scrapes every API server (F31)', async () => {
    const none = await check([], []);
    expect(none).toMatchObject({ open: false, unknown: true });
    expect(none.reasons).toEqual([expect.stringMatching(/of 0 API servers.*there are 1.*scrape every/)]);
    const nodes = ['m1', 'm2', 'm3'].map((name) =>
      clusterNode(name, { controlPlane: true, release: release('1.34.5') }),
    );
    const two = await check([], scraped('a:6443', 'b:6443'), { nodes });
    expect(two.reasons).toEqual([expect.stringContaining('of 2 API servers, but there are 3')]);
    expect((await check([], scraped('a:6443', 'b:6443', 'c:6443'), { nodes })).open).toBe(true);
  });

  it('are unknown when Prometheus does not answer or its answer is unreadable', async () => {
    expect(await checkOneGate(removedApis, {})).toMatchObject({ open: false, unknown: true });
    expect(await check([call({ removed_release: 'soon' })])).toMatchObject({ open: false, unknown: true });
  });

  it('are not checked before a patch, or once the API server is at the new minor', async () => {
    const patch = await checkOneGate(removedApis, { to: '1.34.7' });
    expect(patch).toMatchObject({
      open: true,
      notAsked: 'not checked: the control plane and every kubelet are at 1.34 already',
    });
    const half = await checkOneGate(removedApis, { server: '1.35.3' });
    expect(half).toMatchObject({
      open: true,
      notAsked: 'not checked: the control plane is at 1.35.3 already',
    });
  });
});
