import { ApiException, CoreV1Api, VersionApi, Watch } from '@kubernetes/client-node';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { namespace, startTestLab, type TestLab, testNode } from './testing.ts';
import { clientConfig } from './testing-client.ts';

const account = { namespace: 'k8s-upgrade', serviceAccount: 'k8s-version-upgrade' };
const userName = 'system:serviceaccount:k8s-upgrade:k8s-version-upgrade';
const rbac = 'rbac.authorization.k8s.io';

describe('the server', () => {
  let lab: TestLab;
  let core: CoreV1Api;
  let own: CoreV1Api;
  const codeOf = (request: Promise<unknown>): Promise<number | string> =>
    request.then(
      () => 200,
      (e: unknown) => (e instanceof ApiException ? e.code : 'cut'),
    );

  beforeAll(async () => {
    lab = await startTestLab();
    core = clientConfig(lab.api).makeApiClient(CoreV1Api);
    own = clientConfig(lab.api, account).makeApiClient(CoreV1Api);
    lab.api.apply([
      namespace('k8s-upgrade'),
      testNode('one'),
      {
        apiVersion: 'v1',
        kind: 'ServiceAccount',
        metadata: { name: account.serviceAccount, namespace: account.namespace },
      },
      {
        apiVersion: `${rbac}/v1`,
        kind: 'ClusterRole',
        metadata: { name: 'executor' },
        rules: [
          { apiGroups: [''], resources: ['nodes'], verbs: ['get', 'list'] },
          { apiGroups: [''], resources: ['namespaces'], resourceNames: ['k8s-upgrade'], verbs: ['get'] },
          { apiGroups: [''], resources: ['pods/eviction'], verbs: ['create'] },
        ],
      },
      {
        apiVersion: `${rbac}/v1`,
        kind: 'ClusterRoleBinding',
        metadata: { name: 'executor' },
        roleRef: { apiGroup: rbac, kind: 'ClusterRole', name: 'executor' },
        subjects: [{ kind: 'ServiceAccount', name: account.serviceAccount, namespace: account.namespace }],
      },
      {
        apiVersion: `${rbac}/v1`,
        kind: 'Role',
        metadata: { name: 'own', namespace: 'k8s-upgrade' },
        rules: [
          {
            apiGroups: [''],
            resources: ['configmaps'],
            resourceNames: ['killswitch'],
            verbs: ['get', 'list'],
          },
        ],
      },
      {
        apiVersion: `${rbac}/v1`,
        kind: 'RoleBinding',
        metadata: { name: 'own', namespace: 'k8s-upgrade' },
        roleRef: { apiGroup: rbac, kind: 'Role', name: 'own' },
        subjects: [{ kind: 'Group', name: 'system:serviceaccounts:k8s-upgrade' }],
      },
    ]);
  });
  afterEach(() => lab.api.faults.clear());
  afterAll(() => lab.stop());

  describe('authorization', () => {
    it('allows exactly what the rules allow (F30)', async () => {
      const inNamespace = { namespace: 'k8s-upgrade' };
      expect(await codeOf(own.listNode())).toBe(200);
      expect(await codeOf(own.patchNode({ name: 'one', body: [] }))).toBe(403);
      expect(await codeOf(own.readNamespace({ name: 'k8s-upgrade' }))).toBe(200);
      expect(await codeOf(own.readNamespace({ name: 'default' }))).toBe(403);
      expect(await codeOf(own.readNamespacedConfigMap({ ...inNamespace, name: 'killswitch' }))).toBe(404);
      expect(await codeOf(own.readNamespacedConfigMap({ ...inNamespace, name: 'other' }))).toBe(403);
      expect(await codeOf(own.readNamespacedConfigMap({ namespace: 'default', name: 'killswitch' }))).toBe(
        403,
      );
      expect(await codeOf(own.listNamespacedConfigMap(inNamespace))).toBe(403);
      expect(
        await codeOf(
          own.listNamespacedConfigMap({ ...inNamespace, fieldSelector: 'metadata.name=killswitch' }),
        ),
      ).toBe(200);
      const body = { metadata: { name: 'none', namespace: 'default' } };
      expect(
        await codeOf(own.createNamespacedPodEviction({ namespace: 'default', name: 'none', body })),
      ).toBe(404);
      expect(await codeOf(own.deleteNamespacedPod({ namespace: 'default', name: 'none' }))).toBe(403);
    });

    it('words a refusal like a real API server', async () => {
      const error = await own.deleteNode({ name: 'one' }).catch((e: unknown) => e);
      expect(JSON.parse((error as ApiException<string>).body)).toEqual({
        kind: 'Status',
        apiVersion: 'v1',
        metadata: {},
        status: 'Failure',
        message: `nodes "one" is forbidden: User "${userName}" cannot delete resource "nodes" in API group "" at the cluster scope`,
        reason: 'Forbidden',
        details: { name: 'one', kind: 'nodes' },
        code: 403,
      });
    });

    it('records every request with the rule that allowed it', async () => {
      lab.api.requests.clear();
      await own.readNode({ name: 'one' });
      await codeOf(own.deleteNode({ name: 'one', dryRun: 'All' }));
      expect(lab.api.requests.all).toEqual([
        expect.objectContaining({
          user: userName,
          verb: 'get',
          group: '',
          resource: 'nodes',
          subresource: '',
          name: 'one',
          status: 200,
          dryRun: false,
          allowedBy: { role: 'ClusterRole', namespace: '', name: 'executor', rule: 0 },
        }),
        expect.objectContaining({ verb: 'delete', status: 403, dryRun: true, allowedBy: undefined }),
      ]);
    });
  });

  describe('faults', () => {
    const create = (name: string) =>
      core.createNamespacedConfigMap({ namespace: 'default', body: { metadata: { name } } });
    const exists = (name: string) => lab.api.store.get('configmaps', 'default', name) !== undefined;

    it('delay a request', async () => {
      lab.api.faults.add({
        match: { verb: 'list', resource: 'nodes' },
        times: 1,
        action: { latencyMs: 150 },
      });
      const start = Date.now();
      await core.listNode();
      expect(Date.now() - start).toBeGreaterThanOrEqual(145);
    });

    it('answer with a code instead of an effect, for a number of requests', async () => {
      lab.api.faults.add({
        match: { resource: 'configmaps' },
        times: 1,
        action: { status: 429, retryAfter: 2 },
      });
      lab.api.faults.add({ match: { resource: 'configmaps' }, times: 1, action: { status: 500 } });
      const error = await create('busy').catch((e: unknown) => e);
      expect(error).toMatchObject({ code: 429, headers: expect.objectContaining({ 'retry-after': '2' }) });
      expect(await codeOf(create('busy'))).toBe(500);
      expect(exists('busy')).toBe(false);
      expect(await codeOf(create('busy'))).toBe(200);
    });

    it('cut the connection before or after the effect', async () => {
      lab.api.faults.add({ match: { verb: 'create', name: '' }, times: 1, action: { reset: 'before' } });
      expect(await codeOf(create('cut'))).toBe('cut');
      expect(exists('cut')).toBe(false);
      lab.api.faults.add({
        match: { verb: 'create', path: /configmaps/ },
        times: 1,
        action: { reset: 'after' },
      });
      expect(await codeOf(create('cut'))).toBe('cut');
      expect(exists('cut')).toBe(true);
      expect(lab.api.requests.matching({ verb: 'create', status: 0 })).toHaveLength(2);
    });

    it('delay the answer of a request that has taken effect', async () => {
      lab.api.faults.add({
        match: { verb: 'create', user: 'kubernetes-admin' },
        times: 1,
        action: { silenceMs: 200 },
      });
      const pending = create('late');
      await new Promise<void>((resolve) => {
        const stop = lab.api.store.subscribe(({ object }) => {
          if (object.metadata.name !== 'late') return;
          stop();
          resolve();
        });
      });
      expect(await Promise.race([pending.then(() => 'answered'), Promise.resolve('silent')])).toBe('silent');
      expect((await pending).metadata?.name).toBe('late');
    });

    it('cut all connections during an outage, after which the port is the same', async () => {
      const url = lab.api.url;
      let ended = (): void => undefined;
      const cut = new Promise<void>((resolve) => {
        ended = resolve;
      });
      await new Watch(clientConfig(lab.api)).watch(
        '/api/v1/nodes',
        {},
        () => undefined,
        () => ended(),
      );
      const back = lab.api.outage(200);
      await cut;
      expect(await codeOf(core.listNode())).toBe('cut');
      await back;
      expect(lab.api.url).toBe(url);
      expect(await codeOf(core.listNode())).toBe(200);
    });
  });

  it('reports the version it was given', async () => {
    const version = clientConfig(lab.api, account).makeApiClient(VersionApi);
    expect(await version.getCode()).toMatchObject({ gitVersion: 'v1.34.2', major: '1', minor: '34' });
    lab.api.setVersion('1.34.5');
    expect((await version.getCode()).gitVersion).toBe('v1.34.5');
  });
});
