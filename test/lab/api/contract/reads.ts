import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { namespace } from './objects.ts';
import type { Rest, WatchEvent } from './rest.ts';
import type { StartTarget, Target } from './target.ts';

const maps = '/api/v1/namespaces/reads/configmaps';

/** Lists, selectors, versions and watches. */
export function describeReads(start: StartTarget): void {
  describe('reads', () => {
    let target: Target;
    let rest: Rest;
    beforeAll(async () => {
      target = await start();
      rest = target.rest;
      await rest.create([namespace('reads')]);
    });
    afterAll(() => target?.stop());

    const make = (name: string, labels: Record<string, string> = {}) =>
      rest.ok('POST', maps, { metadata: { name, labels } });
    const names = async (query: string): Promise<string[]> =>
      (await rest.get(`${maps}?${query}`)).items
        .map((item: { metadata: { name: string } }) => item.metadata.name)
        .filter((name: string) => name !== 'kube-root-ca.crt');

    /** The events of a watch up to the first one that satisfies `last`. */
    const watched = (
      query: string,
      last: (event: WatchEvent) => boolean,
      changes: () => Promise<unknown> = async () => undefined,
    ): Promise<WatchEvent[]> =>
      new Promise((resolve, reject) => {
        const seen: WatchEvent[] = [];
        const stop = rest.watch(`${maps}?${query}`, (event) => {
          seen.push(event);
          if (!last(event)) return;
          stop();
          resolve(seen);
        });
        changes().catch(reject);
      });

    it('selects by label and by field', async () => {
      await make('one', { app: 'a', tier: 'x' });
      await make('three', { tier: 'x' });
      await make('two', { app: 'b' });
      expect(await names('labelSelector=app')).toEqual(['one', 'two']);
      expect(await names('labelSelector=!app')).toEqual(['three']);
      expect(await names('labelSelector=app%3Da,tier%3Dx')).toEqual(['one']);
      expect(await names('labelSelector=app!%3Da')).toEqual(['three', 'two']);
      expect(await names(`labelSelector=${encodeURIComponent('app in (b,c)')}`)).toEqual(['two']);
      expect(await names(`labelSelector=${encodeURIComponent('app notin (b,c)')}`)).toEqual(['one', 'three']);
      expect(await names('fieldSelector=metadata.name%3Dtwo')).toEqual(['two']);
      const label = await rest.send('GET', `${maps}?labelSelector=${encodeURIComponent('a in b')}`);
      expect([label.code, label.body.reason]).toEqual([400, 'BadRequest']);
      const field = await rest.send('GET', `${maps}?fieldSelector=data.x%3D1`);
      expect([field.code, field.body.message]).toEqual([
        400,
        '"data.x" is not a known field selector: only "metadata.name", "metadata.namespace"',
      ]);
    });

    it('lists page by page', async () => {
      const first = await rest.get(`${maps}?limit=2&labelSelector=app`);
      expect(first.items).toHaveLength(2);
      const page = await rest.get(`${maps}?limit=1`);
      expect(page.items).toHaveLength(1);
      const rests = await rest.get(
        `${maps}?limit=500&continue=${encodeURIComponent(page.metadata.continue)}`,
      );
      const all = [...page.items, ...rests.items].map((item) => item.metadata.name);
      expect(all.filter((name) => name !== 'kube-root-ca.crt')).toEqual(['one', 'three', 'two']);
      expect(rests.metadata.continue ?? '').toBe('');
    });

    it('watches from a version and reports an object that no longer matches the selector as DELETED', async () => {
      const { metadata } = await rest.get(maps);
      const relabel = (stage: string, count: string) =>
        rest.patch(`${maps}/one`, { metadata: { labels: { stage, count } } });
      const events = await watched(
        `resourceVersion=${metadata.resourceVersion}&labelSelector=stage%3Dcanary`,
        ({ type }) => type === 'DELETED',
        async () => {
          await relabel('canary', '1');
          await relabel('canary', '2');
          await relabel('stable', '3');
        },
      );
      expect(events.map(({ type, object }) => `${type} ${object.metadata.name}`)).toEqual([
        'ADDED one',
        'MODIFIED one',
        'DELETED one',
      ]);
      expect(events[1]?.object).toMatchObject({ apiVersion: 'v1', kind: 'ConfigMap' });
      // DELETED carries the object's last matching state, with the version of the change.
      const { resourceVersion } = (await rest.get(`${maps}/one`)).metadata;
      expect(events[2]?.object.metadata).toMatchObject({ labels: { stage: 'canary' }, resourceVersion });
    });

    it('starts a watch without a version with the existing objects', async () => {
      const events = await watched('fieldSelector=metadata.name%3Dtwo', () => true);
      expect(events).toMatchObject([{ type: 'ADDED', object: { metadata: { name: 'two' } } }]);
    });

    it('sends a bookmark after the initial events if requested', async () => {
      const query = 'sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true';
      const events = await watched(`${query}&labelSelector=app`, ({ type }) => type === 'BOOKMARK');
      expect(events.map(({ type }) => type)).toEqual(['ADDED', 'ADDED', 'BOOKMARK']);
      expect(events[2]?.object.metadata.annotations).toEqual({ 'k8s.io/initial-events-end': 'true' });
    });

    it('ends a watch at its timeout', async () => {
      const start = Date.now();
      await new Promise<void>((resolve, reject) => {
        rest.watch(
          `${maps}?timeoutSeconds=1`,
          () => undefined,
          (error) => (error ? reject(error) : resolve()),
        );
      });
      expect(Date.now() - start).toBeGreaterThan(900);
      expect(Date.now() - start).toBeLessThan(10_000);
    });

    it('refuses a version that is not a number', async () => {
      const { code, body } = await rest.send('GET', `${maps}?resourceVersion=soon`);
      expect([code, body.reason]).toEqual([400, 'BadRequest']);
    });

    it('answers 404 to an unknown path', async () => {
      const group = await rest.send('GET', '/apis/example.com/v1/things');
      expect(group.code).toBe(404);
      const resource = await rest.send('GET', '/api/v1/unicorns');
      expect([resource.code, resource.body.message]).toEqual([
        404,
        'the server could not find the requested resource',
      ]);
    });

    it('reports its version', async () => {
      const { major, minor, gitVersion, platform } = await rest.get('/version');
      expect([major, minor]).toEqual(['1', '34']);
      expect(gitVersion).toMatch(/^v1\.34\.\d+$/);
      expect(platform).toBe('linux/amd64');
    });

    it('answers a watch from a compacted version with 410', async () => {
      const { resourceVersion } = (await make('compacted')).metadata;
      await make('later');
      await target.compact();
      const [event] = await watched(`resourceVersion=${Math.min(1, resourceVersion)}`, () => true);
      expect(event).toMatchObject({
        type: 'ERROR',
        object: {
          kind: 'Status',
          code: 410,
          reason: 'Expired',
          message: expect.stringMatching(/^too old resource version: 1 /),
        },
      });
    });
  });
}
