import { CoreV1Api, VersionApi } from '@kubernetes/client-node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RealCluster } from './real-cluster.ts';

describe('the real control plane', () => {
  let cluster: RealCluster;
  beforeAll(async () => {
    cluster = await RealCluster.start({ version: '1.34.2' });
  });
  afterAll(() => cluster?.stop());

  const version = async () => (await (await cluster.config()).makeApiClient(VersionApi).getCode()).gitVersion;

  it('restarts as another release and keeps its objects', async () => {
    expect(await version()).toBe('v1.34.2');
    const core = (await cluster.config()).makeApiClient(CoreV1Api);
    await core.createNamespace({ body: { metadata: { name: 'kept' } } });
    await cluster.restartServer();
    expect(await version()).toBe('v1.34.4');
    expect((await core.readNamespace({ name: 'kept' })).status?.phase).toBe('Active');
  });

  it('authenticates service accounts by their tokens, and logs why it refused a request', async () => {
    const user = { namespace: 'default', serviceAccount: 'default' };
    const core = (await cluster.config(user)).makeApiClient(CoreV1Api);
    await expect(core.listNode()).rejects.toMatchObject({ code: 403 });
    const [refused] = (await cluster.auditEvents()).filter(
      ({ user: { username } }) => username === 'system:serviceaccount:default:default',
    );
    expect(refused).toMatchObject({
      verb: 'list',
      objectRef: { resource: 'nodes' },
      responseStatus: { code: 403 },
      annotations: { 'authorization.k8s.io/decision': 'forbid' },
    });
  });
});
