import type { RequestListener } from 'node:http';
import { afterAll, afterEach, beforeAll, describe, expect, it, test } from 'vitest';
import type { FaultAction } from '../../../test/lab/api/faults.ts';
import type { TestLab } from '../../../test/lab/api/testing.ts';
import { connect, serve, startLab } from '../testing/api.ts';
import { rejection } from '../testing/files.ts';
import { ApiError, isConflict, isNotFound } from './api-error.ts';
import type { KubernetesClient } from './client.ts';

let lab: TestLab;
beforeAll(async () => {
  lab = await startLab();
});
afterAll(() => lab.stop());
afterEach(() => {
  lab.api.faults.clear();
  lab.api.requests.clear();
});

const readNode = (client: KubernetesClient, name = 'one') =>
  client.call(`read node ${name}`, () => client.core.readNode({ name }));
const nodeReads = () => lab.api.requests.matching({ resource: 'nodes', verb: 'get' }).length;
const match = { resource: 'nodes', verb: 'get' };

describe('a request to the API server', () => {
  const passing: [what: string, action: FaultAction][] = [
    ['429', { status: 429 }],
    ['429 with Retry-After', { status: 429, retryAfter: 1 }],
    ['500', { status: 500 }],
    ['503', { status: 503 }],
    ['a connection reset', { reset: 'before' }],
    ['a truncated answer', { reset: 'after' }],
  ];
  test.each(passing)('is retried after %s', async (_what, action) => {
    lab.api.faults.add({ match, times: 1, action });
    const started = performance.now();
    expect((await readNode(connect(lab))).metadata?.name).toBe('one');
    expect(performance.now() - started).toBeGreaterThanOrEqual('retryAfter' in action ? 1_000 : 0);
    expect(nodeReads()).toBe(2);
  });

  it('is retried when no answer comes in time', async () => {
    const client = connect(lab, { requestTimeout: 100 });
    lab.api.faults.add({ match, times: 1, action: { silenceMs: 3_000 } });
    const started = performance.now();
    expect((await readNode(client)).metadata?.name).toBe('one');
    expect(performance.now() - started).toBeLessThan(2_500);
  });

  it('survives an outage, but fails when it lasts longer than allowed', async () => {
    const outage = lab.api.outage(600);
    expect((await readNode(connect(lab))).metadata?.name).toBe('one');
    await outage;
    lab.api.faults.add({ match, action: { reset: 'before' } });
    const started = performance.now();
    expect(await rejection(readNode(connect(lab, { outage: 500 })))).toMatchObject({
      code: 'failed',
      message: expect.stringContaining('read node one: no answer from the API server'),
    });
    expect(performance.now() - started).toBeLessThan(3_000);
  });

  it('is not retried when the answer is final', async () => {
    const error = await rejection(readNode(connect(lab), 'three'));
    expect(error).toMatchObject({ status: 404, reason: 'NotFound', code: 'failed' });
    expect(error.message).toBe('read node three: nodes "three" not found');
    expect([isNotFound(error), isConflict(error), nodeReads()]).toEqual([true, false, 1]);
  });

  it('fails with a hint when the pipeline’s namespace does not exist', async () => {
    const client = connect(lab);
    const read = () => client.core.readNamespace({ name: 'elsewhere' });
    expect(await rejection(client.call('read the namespace', read))).toMatchObject({
      hint: expect.stringMatching(/kubectl create namespace elsewhere$/),
    });
  });

  it('is retried when a server that has not loaded the roles yet refuses it', async () => {
    const executor = { namespace: 'apps', serviceAccount: 'reader' };
    const name = 'reads-nodes';
    const apiGroup = 'rbac.authorization.k8s.io';
    lab.api.apply([
      {
        apiVersion: `${apiGroup}/v1`,
        kind: 'ClusterRole',
        metadata: { name },
        rules: [{ apiGroups: [''], resources: ['nodes'], verbs: ['get'] }],
      },
      {
        apiVersion: `${apiGroup}/v1`,
        kind: 'ClusterRoleBinding',
        metadata: { name },
        roleRef: { apiGroup, kind: 'ClusterRole', name },
        subjects: [{ kind: 'ServiceAccount', name: 'reader', namespace: 'apps' }],
      },
    ]);
    const client = connect(lab, {}, executor);
    const refused = () =>
      lab.api.requests.early.some(({ resource, status }) => resource === 'nodes' && status === 403);
    // The server refuses for a moment only. On a busy machine the client may be late and not be refused.
    for (let start = 1; start <= 5 && !refused(); start += 1) {
      const outage = lab.api.outage(100);
      expect((await readNode(client)).metadata?.name).toBe('one');
      await outage;
    }
    expect(refused()).toBe(true);
  });

  it('that is forbidden fails with what is forbidden and where to look (F30)', async () => {
    const client = connect(lab, {}, { namespace: 'apps', serviceAccount: 'nobody' });
    const error = await rejection(readNode(client));
    expect(error).toBeInstanceOf(ApiError);
    expect(error.message).toContain('cannot get resource "nodes"');
    expect(error.hint).toContain('role');
  });

  it('rejects with the reason of its signal when aborted', async () => {
    const stop = new AbortController();
    lab.api.faults.add({ match, action: { status: 503 } });
    const pending = rejection(readNode(connect(lab, { signal: stop.signal })));
    setTimeout(() => stop.abort(new Error('enough')), 150);
    expect((await pending).message).toBe('enough');
  });

  // Last, as the lab may record its last request only during the next test, which must not count requests.
  it.each([
    ['exists', 'one'],
    ['does not exist', 'three'],
  ])('reports an outage and its end when it reads a node that %s', async (_what, name) => {
    const notices: string[] = [];
    const client = connect(lab, { onNotice: (notice) => notices.push(notice) });
    lab.api.faults.add({ match, times: 2, action: { reset: 'before' } });
    await readNode(client, name).catch(() => {});
    expect(notices).toEqual([
      expect.stringMatching(
        new RegExp(`^read node ${name}: no answer from the API server .*; trying again for up to `),
      ),
      expect.stringMatching(/^the API server answers again, after \d+\.\ds$/),
    ]);
  });
});

describe('the guard', () => {
  it('is called before each write, but not for reads, dry-runs and leases', async () => {
    const client = connect(lab);
    const guarded: string[] = [];
    const namespace = 'apps';
    const body = (name: string) => ({ metadata: { name }, data: {} });
    client.guardWrites(async () => {
      guarded.push('called');
    });
    await readNode(client);
    await client.core.createNamespacedConfigMap({ namespace, body: body('dry'), dryRun: 'All' });
    await client.coordination.createNamespacedLease({ namespace, body: { metadata: { name: 'l' } } });
    expect(guarded).toEqual([]);
    await client.core.createNamespacedConfigMap({ namespace, body: body('real') });
    expect(guarded).toEqual(['called']);
    client.guardWrites(async () => {
      throw new Error('no longer');
    });
    const error = await rejection(client.core.createNamespacedConfigMap({ namespace, body: body('late') }));
    expect(error.message).toBe('no longer');
    expect(lab.api.store.list('configmaps', namespace).map((map) => map.metadata.name)).not.toContain('late');
    expect(lab.api.store.list('configmaps', namespace).map((map) => map.metadata.name)).toContain('real');
  });
});

describe('401', () => {
  /** A server that has just started: it rejects all credentials, and serves /readyz without any. */
  const starting = (isReady: () => boolean, knows: () => boolean) => {
    const urls: string[] = [];
    const answer: RequestListener = ({ url = '', headers }, response) => {
      urls.push(url);
      const known = headers.authorization === undefined || knows();
      const status = !known ? 401 : url === '/readyz' && !isReady() ? 500 : 200;
      const body =
        status === 200
          ? { gitVersion: 'v1.34.2' }
          : { kind: 'Status', code: status, message: 'Unauthorized' };
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
    };
    return { urls, answer };
  };

  it('from a server that is not ready is retried', async () => {
    const from = performance.now() + 700;
    const isUp = () => performance.now() >= from;
    const { client, stop } = await serve(starting(isUp, isUp).answer);
    expect(await client.serverVersion().finally(stop)).toBe('v1.34.2');
  });

  it('from a server that is ready is final', async () => {
    const { urls, answer } = starting(
      () => true,
      () => false,
    );
    const { client, stop } = await serve(answer);
    const error = await rejection(client.serverVersion()).finally(stop);
    expect(error).toMatchObject({ status: 401, code: 'failed' });
    expect(error.hint).toContain('kubeconfig');
    expect(urls).toEqual(['/version', '/readyz', '/version']);
  });
});
