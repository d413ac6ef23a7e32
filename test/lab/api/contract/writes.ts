import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { namespace, pod } from './objects.ts';
import { patchTypes, type Rest } from './rest.ts';
import type { StartTarget, Target } from './target.ts';

const core = '/api/v1/namespaces/writes';
const leases = '/apis/coordination.k8s.io/v1/namespaces/writes/leases';
const jobs = '/apis/batch/v1/namespaces/writes/jobs';

/** Creating, patching, replacing and deleting objects, and the wording of refusals. */
export function describeWrites(start: StartTarget): void {
  describe('writes', () => {
    let target: Target;
    let rest: Rest;
    beforeAll(async () => {
      target = await start();
      rest = target.rest;
      await rest.create([namespace('writes')]);
      await rest.eventually(`${core}/serviceaccounts/default`, (account) => account !== undefined);
    });
    afterAll(() => target?.stop());

    const configMap = async (name: string, data: object) =>
      rest.ok('POST', `${core}/configmaps`, { metadata: { name }, data });

    it('refuses to replace a Lease that was changed in the meantime', async () => {
      const renewTime = () => new Date().toISOString().replace('Z', '000Z');
      const body = (holderIdentity: string) => ({
        metadata: { name: 'run' },
        spec: { holderIdentity, leaseDurationSeconds: 60, renewTime: renewTime() },
      });
      const mine = await rest.ok('POST', leases, body('me'));
      expect((await rest.send('POST', leases, body('you'))).body).toEqual({
        kind: 'Status',
        apiVersion: 'v1',
        metadata: {},
        status: 'Failure',
        code: 409,
        reason: 'AlreadyExists',
        message: 'leases.coordination.k8s.io "run" already exists',
        details: { name: 'run', group: 'coordination.k8s.io', kind: 'leases' },
      });
      const next = { ...mine, spec: { ...mine.spec, renewTime: '2026-01-02T03:04:05.000006Z' } };
      const renewed = await rest.ok('PUT', `${leases}/run`, next);
      expect(renewed.metadata.resourceVersion).not.toBe(mine.metadata.resourceVersion);
      expect(renewed.spec.renewTime).toBe('2026-01-02T03:04:05.000006Z');
      expect((await rest.send('PUT', `${leases}/run`, next)).body).toEqual({
        kind: 'Status',
        apiVersion: 'v1',
        metadata: {},
        status: 'Failure',
        code: 409,
        reason: 'Conflict',
        message:
          'Operation cannot be fulfilled on leases.coordination.k8s.io "run": the object has been modified; please apply your changes to the latest version and try again',
        details: { name: 'run', group: 'coordination.k8s.io', kind: 'leases' },
      });
      const unversioned = await rest.send('PUT', `${leases}/run`, body('me'));
      expect(unversioned.code).toBe(422);
      expect(unversioned.body.message).toBe(
        'leases.coordination.k8s.io "run" is invalid: metadata.resourceVersion: Invalid value: 0: must be specified for an update',
      );
      const { code, body: gone } = await rest.send('PUT', `${leases}/nobody`, {
        ...next,
        metadata: { ...next.metadata, name: 'nobody' },
      });
      expect([code, gone.message]).toEqual([
        409,
        `Operation cannot be fulfilled on leases.coordination.k8s.io "nobody": StorageError: invalid object, Code: 4, Key: /registry/leases/writes/nobody, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID in precondition: ${mine.metadata.uid}, UID in object meta: `,
      ]);
    });

    it('refuses a MicroTime without six decimal places, as Go does', async () => {
      const { code, body } = await rest.send('POST', leases, {
        metadata: { name: 'short' },
        spec: { renewTime: '2026-01-01T00:00:00.123Z' },
      });
      expect([code, body.reason]).toEqual([400, 'BadRequest']);
      expect(body.message).toContain('as "2006-01-02T15:04:05.000000Z07:00"');
    });

    it('applies merge and JSON patches, and refuses one with a stale version or another uid', async () => {
      const made = await configMap('patched', { a: '1', b: '2' });
      const path = `${core}/configmaps/patched`;
      expect((await rest.patch(path, { data: { a: null, c: '3' } })).data).toEqual({ b: '2', c: '3' });
      const operations = [
        { op: 'test', path: '/data/b', value: '2' },
        { op: 'replace', path: '/data/b', value: '4' },
        { op: 'remove', path: '/data/c' },
      ];
      expect((await rest.patch(path, operations, 'json')).data).toEqual({ b: '4' });
      const failed = await rest.send('PATCH', path, operations, patchTypes.json);
      expect([failed.code, failed.body.reason]).toEqual([422, 'Invalid']);
      const stale = { metadata: { resourceVersion: made.metadata.resourceVersion }, data: { d: '5' } };
      const refused = await rest.send('PATCH', path, stale, patchTypes.merge);
      expect([refused.code, refused.body.reason]).toEqual([409, 'Conflict']);
      const other = { metadata: { uid: '5b9a0f1c-0000-4000-8000-000000000001' } };
      const mistaken = await rest.send('PATCH', path, other, patchTypes.merge);
      expect([mistaken.code, mistaken.body.reason]).toEqual([422, 'Invalid']);
      expect(mistaken.body.message).toBe(
        `ConfigMap "patched" is invalid: metadata.uid: Invalid value: "${other.metadata.uid}": field is immutable`,
      );
      const replaced = await rest.send('PUT', path, {
        ...made,
        metadata: { ...made.metadata, ...other.metadata },
      });
      expect([replaced.code, replaced.body.reason]).toEqual([409, 'Conflict']);
      expect(replaced.body.message).toContain(
        `Precondition failed: UID in precondition: ${other.metadata.uid}, UID in object meta: ${made.metadata.uid}`,
      );
    });

    it('merges lists in a strategic merge patch by their keys', async () => {
      const containers = [
        { name: 'a', image: 'a:1' },
        { name: 'b', image: 'b:1', env: [{ name: 'X', value: '1' }] },
      ];
      const spec = { selector: { matchLabels: { app: 'm' } }, replicas: 0 };
      const template = { metadata: { labels: { app: 'm' } }, spec: { containers } };
      await rest.create([
        {
          apiVersion: 'apps/v1',
          kind: 'Deployment',
          metadata: { name: 'm', namespace: 'writes' },
          spec: { ...spec, template },
        },
      ]);
      const change = {
        spec: {
          template: {
            spec: {
              containers: [
                { name: 'b', env: [{ name: 'Y', value: '2' }] },
                { name: 'a', $patch: 'delete' },
              ],
            },
          },
        },
      };
      const { spec: after } = await rest.patch(
        '/apis/apps/v1/namespaces/writes/deployments/m',
        change,
        'strategic',
      );
      const [only, ...others] = after.template.spec.containers;
      expect(others).toEqual([]);
      expect(only).toMatchObject({ name: 'b', image: 'b:1' });
      expect(only.env).toEqual(
        expect.arrayContaining([
          { name: 'X', value: '1' },
          { name: 'Y', value: '2' },
        ]),
      );
      const { code, body } = await rest.send('PATCH', `${core}/configmaps/patched`, 'x', 'text/plain');
      expect([code, body.reason]).toEqual([415, 'UnsupportedMediaType']);
    });

    it('keeps the version when nothing changes', async () => {
      const { metadata } = await configMap('same', { a: '1' });
      const again = await rest.patch(`${core}/configmaps/same`, { data: { a: '1' } });
      expect(again.metadata.resourceVersion).toBe(metadata.resourceVersion);
    });

    it('stores nothing in a dry run', async () => {
      const path = `${core}/configmaps`;
      const made = await rest.ok('POST', `${path}?dryRun=All`, { metadata: { name: 'dry' } });
      expect(made.metadata.uid).toMatch(/^[0-9a-f-]{36}$/);
      expect(await rest.find(`${path}/dry`)).toSatisfy((found: unknown) => found === undefined);
      await configMap('wet', { a: '1' });
      expect((await rest.patch(`${path}/wet?dryRun=All`, { data: { a: '2' } })).data).toEqual({ a: '2' });
      await rest.ok('DELETE', `${path}/wet?dryRun=All`);
      expect((await rest.get(`${path}/wet`)).data).toEqual({ a: '1' });
      const { code, body } = await rest.send('POST', `${path}?dryRun=Some`, { metadata: { name: 'dry' } });
      expect([code, body.reason]).toEqual([422, 'Invalid']);
    });

    it('takes the options of a deletion from its body, and from the query only without one', async () => {
      const path = `${core}/configmaps/options`;
      await configMap('options', {});
      await rest.ok('DELETE', path, { dryRun: ['All'] });
      expect((await rest.send('GET', path)).code).toBe(200);
      await rest.ok('DELETE', `${path}?dryRun=All`, { propagationPolicy: 'Background' });
      expect((await rest.send('GET', path)).code).toBe(404);
    });

    it('generates names from a prefix', async () => {
      const { metadata } = await rest.ok('POST', `${core}/configmaps`, {
        metadata: { generateName: 'run-' },
      });
      expect(metadata.name).toMatch(/^run-[bcdfghjklmnpqrstvwxz2456789]{5}$/);
      expect(metadata.generateName).toBe('run-');
    });

    it('keeps a deleted object until its finalizer is removed', async () => {
      const metadata = { name: 'held', finalizers: ['example.com/hold'] };
      await rest.ok('POST', `${core}/configmaps`, { metadata });
      const path = `${core}/configmaps/held`;
      await rest.ok('DELETE', path);
      expect((await rest.get(path)).metadata.deletionTimestamp).toMatch(/Z$/);
      await rest.patch(path, [{ op: 'remove', path: '/metadata/finalizers' }], 'json');
      expect((await rest.send('GET', path)).body).toMatchObject({ code: 404, reason: 'NotFound' });
      const { body } = await rest.send('DELETE', path);
      expect(body).toMatchObject({ code: 404, message: 'configmaps "held" not found' });
    });

    it('deletes an object only if its uid matches the precondition', async () => {
      const { metadata } = await configMap('meant', {});
      const uid = '5b9a0f1c-0000-4000-8000-000000000001';
      const { code, body } = await rest.send('DELETE', `${core}/configmaps/meant`, {
        preconditions: { uid },
      });
      expect([code, body.reason]).toEqual([409, 'Conflict']);
      const done = await rest.ok('DELETE', `${core}/configmaps/meant`, {
        preconditions: { uid: metadata.uid },
      });
      expect(done).toMatchObject({
        kind: 'Status',
        status: 'Success',
        details: { name: 'meant', kind: 'configmaps', uid: metadata.uid },
      });
    });

    it('names every invalid field of an object', async () => {
      const { code, body } = await rest.send('POST', jobs, {
        metadata: { name: 'Bad_Name' },
        spec: { template: { spec: { containers: [{ name: 'c', image: '' }] } } },
      });
      expect(body).toMatchObject({ code, reason: 'Invalid', details: { kind: 'Job', group: 'batch' } });
      expect(code).toBe(422);
      const fields: string[] = body.details.causes.map((cause: { field: string }) => cause.field);
      expect([...new Set(fields)]).toEqual([
        'metadata.name',
        'spec.template.spec.containers[0].image',
        'spec.template.spec.restartPolicy',
      ]);
    });

    it('refuses unknown fields when strict, drops them otherwise, and always refuses values of a wrong type', async () => {
      const path = `${core}/pods?dryRun=All`;
      const podWith = (container: object) => ({
        ...pod('p', 'writes'),
        spec: { containers: [{ name: 'c', image: 'c:1', ...container }] },
      });
      const strict = await rest.send('POST', `${path}&fieldValidation=Strict`, podWith({ comand: ['x'] }));
      expect(strict.code).toBe(400);
      expect(strict.body.message).toBe(
        'Pod in version "v1" cannot be handled as a Pod: strict decoding error: unknown field "spec.containers[0].comand"',
      );
      expect(JSON.stringify(await rest.ok('POST', path, podWith({ comand: ['x'] })))).not.toContain('comand');
      const mistyped = await rest.send('POST', path, podWith({ env: [{ name: 'A', value: 1 }] }));
      expect(mistyped.code).toBe(400);
      expect(mistyped.body.message).toBe(
        'Pod in version "v1" cannot be handled as a Pod: json: cannot unmarshal number into Go struct field EnvVar.spec.containers.env.value of type string',
      );
    });

    it.each([
      [{ data: { a: 1 } }, 'number into Go struct field ConfigMap.data of type string'],
      [{ data: 'a' }, 'string into Go struct field ConfigMap.data of type map[string]string'],
      [{ immutable: 'yes' }, 'string into Go struct field ConfigMap.immutable of type bool'],
      [
        { metadata: { labels: { a: true } } },
        'bool into Go struct field ObjectMeta.metadata.labels of type string',
      ],
      [
        { metadata: { finalizers: 'a' } },
        'string into Go struct field ObjectMeta.metadata.finalizers of type []string',
      ],
    ])('refuses %j, naming the field and its type', async (object, why) => {
      const { code, body } = await rest.send('POST', `${core}/configmaps?dryRun=All`, object);
      expect([code, body.reason]).toEqual([400, 'BadRequest']);
      expect(body.message).toBe(
        `ConfigMap in version "v1" cannot be handled as a ConfigMap: json: cannot unmarshal ${why}`,
      );
    });

    it('accepts an Event about a node only in the namespace default', async () => {
      const event = {
        metadata: { generateName: 'one.' },
        involvedObject: { kind: 'Node', name: 'one', apiVersion: 'v1' },
        type: 'Normal',
        reason: 'Upgraded',
        message: 'at v1.34.5',
        firstTimestamp: '2026-01-01T00:00:00Z',
        lastTimestamp: '2026-01-01T00:00:00Z',
      };
      const created = await rest.ok('POST', '/api/v1/namespaces/default/events', event);
      expect(created.metadata.name).toMatch(/^one\.[a-z0-9]{5}$/);
      const { code, body } = await rest.send('POST', `${core}/events`, event);
      expect(code).toBe(422);
      expect(body.details.causes[0].field).toBe('involvedObject.namespace');
    });

    it('refuses an object in a namespace that does not exist', async () => {
      const { code, body } = await rest.send('POST', '/api/v1/namespaces/nowhere/configmaps', {
        metadata: { name: 'a' },
      });
      expect([code, body.message]).toEqual([404, 'namespaces "nowhere" not found']);
    });
  });
}
