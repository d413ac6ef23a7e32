import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { namespace, pod } from './objects.ts';
import type { Rest } from './rest.ts';
import type { StartTarget, Target } from './target.ts';

const rbac = 'rbac.authorization.k8s.io';
const account = { namespace: 'own', serviceAccount: 'executor' };
const userName = 'system:serviceaccount:own:executor';

const roles = [
  {
    apiVersion: `${rbac}/v1`,
    kind: 'ClusterRole',
    metadata: { name: 'executor' },
    rules: [
      { apiGroups: [''], resources: ['nodes'], verbs: ['get', 'list'] },
      { apiGroups: [''], resources: ['namespaces'], resourceNames: ['own'], verbs: ['get'] },
      { apiGroups: [''], resources: ['pods/eviction'], verbs: ['create'] },
    ],
  },
  {
    apiVersion: `${rbac}/v1`,
    kind: 'ClusterRoleBinding',
    metadata: { name: 'executor' },
    roleRef: { apiGroup: rbac, kind: 'ClusterRole', name: 'executor' },
    subjects: [{ kind: 'ServiceAccount', name: 'executor', namespace: 'own' }],
  },
  {
    apiVersion: `${rbac}/v1`,
    kind: 'Role',
    metadata: { name: 'own', namespace: 'own' },
    rules: [
      { apiGroups: [''], resources: ['configmaps'], resourceNames: ['killswitch'], verbs: ['get', 'list'] },
    ],
  },
  {
    apiVersion: `${rbac}/v1`,
    kind: 'RoleBinding',
    metadata: { name: 'own', namespace: 'own' },
    roleRef: { apiGroup: rbac, kind: 'Role', name: 'own' },
    subjects: [{ apiGroup: rbac, kind: 'Group', name: 'system:serviceaccounts:own' }],
  },
];

/** Authentication, authorization and the wording of refusals. */
export function describeAccess(start: StartTarget): void {
  describe('access', () => {
    let target: Target;
    let rest: Rest;
    let own: Rest;
    beforeAll(async () => {
      target = await start();
      rest = target.rest;
      const metadata = { name: account.serviceAccount, namespace: account.namespace };
      await rest.create([namespace('own'), { apiVersion: 'v1', kind: 'ServiceAccount', metadata }, ...roles]);
      await target.addNode('one');
      own = await target.as(account);
      // Roles take effect shortly after they have been created.
      await rest.eventually('/api/v1/namespaces/own/serviceaccounts/default', (found) => found !== undefined);
      while ((await own.send('GET', '/api/v1/namespaces/own/configmaps/killswitch')).code === 403);
    });
    afterAll(() => target?.stop());

    const codeOf = async (method: string, path: string, body?: object) =>
      (await own.send(method, path, body)).code;

    it('is exactly what the rules allow (F30)', async () => {
      const maps = '/api/v1/namespaces/own/configmaps';
      expect(await codeOf('GET', '/api/v1/nodes')).toBe(200);
      expect(await codeOf('PATCH', '/api/v1/nodes/one')).toBe(403);
      expect(await codeOf('GET', '/api/v1/namespaces/own')).toBe(200);
      expect(await codeOf('GET', '/api/v1/namespaces/default')).toBe(403);
      expect(await codeOf('GET', `${maps}/killswitch`)).toBe(404);
      expect(await codeOf('GET', `${maps}/other`)).toBe(403);
      expect(await codeOf('GET', '/api/v1/namespaces/default/configmaps/killswitch')).toBe(403);
      expect(await codeOf('GET', maps)).toBe(403);
      expect(await codeOf('GET', `${maps}?fieldSelector=metadata.name%3Dkillswitch`)).toBe(200);
      const metadata = { name: 'none', namespace: 'default' };
      expect(await codeOf('POST', '/api/v1/namespaces/default/pods/none/eviction', { metadata })).toBe(404);
      expect(await codeOf('DELETE', '/api/v1/namespaces/default/pods/none')).toBe(403);
    });

    it('is refused with these messages', async () => {
      expect((await own.send('DELETE', '/api/v1/nodes/one')).body).toEqual({
        kind: 'Status',
        apiVersion: 'v1',
        metadata: {},
        status: 'Failure',
        message: `nodes "one" is forbidden: User "${userName}" cannot delete resource "nodes" in API group "" at the cluster scope`,
        reason: 'Forbidden',
        details: { name: 'one', kind: 'nodes' },
        code: 403,
      });
      expect((await own.send('GET', '/apis/batch/v1/namespaces/own/jobs')).body).toMatchObject({
        message: `jobs.batch is forbidden: User "${userName}" cannot list resource "jobs" in API group "batch" in the namespace "own"`,
        details: { group: 'batch', kind: 'jobs' },
      });
      expect((await own.send('GET', '/metrics')).body).toMatchObject({
        code: 403,
        message: `forbidden: User "${userName}" cannot get path "/metrics"`,
      });
    });

    it('is refused with 401 for an unknown token and 403 without a token', async () => {
      const stolen = await (await target.as({ token: 'stolen' })).send('GET', '/api/v1/nodes');
      expect(stolen.body).toEqual({
        kind: 'Status',
        apiVersion: 'v1',
        metadata: {},
        status: 'Failure',
        message: 'Unauthorized',
        reason: 'Unauthorized',
        code: 401,
      });
      const none = await (await target.as('nobody')).send('GET', '/api/v1/nodes');
      expect(none.body).toMatchObject({
        code: 403,
        message:
          'nodes is forbidden: User "system:anonymous" cannot list resource "nodes" in API group "" at the cluster scope',
      });
      expect((await (await target.as('nobody')).send('GET', '/version')).code).toBe(200);
    });

    it('can be reviewed', async () => {
      const review = async (resourceAttributes: object) => {
        const body = { spec: { resourceAttributes } };
        const { status } = await own.ok(
          'POST',
          '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews',
          body,
        );
        return status;
      };
      expect(await review({ verb: 'list', resource: 'nodes' })).toMatchObject({
        allowed: true,
        reason:
          'RBAC: allowed by ClusterRoleBinding "executor" of ClusterRole "executor" to ServiceAccount "executor/own"',
      });
      expect(await review({ verb: 'delete', resource: 'nodes' })).toEqual({ allowed: false });
      const eviction = { verb: 'create', resource: 'pods', subresource: 'eviction', namespace: 'default' };
      expect(await review(eviction)).toMatchObject({ allowed: true });
      expect(await review({ verb: 'create', resource: 'pods', namespace: 'default' })).toEqual({
        allowed: false,
      });
      const asAdmin = await rest.ok('POST', '/apis/authorization.k8s.io/v1/subjectaccessreviews', {
        spec: { user: userName, groups: [], resourceAttributes: { verb: 'get', resource: 'nodes' } },
      });
      expect(asAdmin.status).toMatchObject({ allowed: true });
      const who = await own.ok('POST', '/apis/authentication.k8s.io/v1/selfsubjectreviews', {});
      expect(who.status.userInfo).toMatchObject({
        username: userName,
        groups: expect.arrayContaining(['system:serviceaccounts', 'system:serviceaccounts:own']),
      });
    });

    it('is refused to a pod whose PriorityClass does not exist', async () => {
      const path = '/api/v1/namespaces/default/pods?dryRun=All';
      const important = (priorityClassName: string) => pod('important', 'default', { priorityClassName });
      expect((await rest.send('POST', path, important('none'))).body).toMatchObject({
        code: 403,
        message: 'pods "important" is forbidden: no PriorityClass with name none was found',
      });
      const accepted = await rest.ok('POST', path, important('system-node-critical'));
      expect(accepted.spec.priority).toBe(2_000_001_000);
    });
  });
}
