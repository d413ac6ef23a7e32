import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { seedCluster } from '../cluster.ts';
import { hasKubectl, kubectl, startTestLab, type TestLab } from './testing.ts';

describe.skipIf(!hasKubectl)('kubectl drain against the lab', () => {
  let lab: TestLab;
  let admin: string;
  const k = (...args: string[]) => kubectl(admin, ...args);
  const ok = async (...args: string[]) => {
    const { code, stdout, stderr } = await k(...args);
    expect(code, stderr).toBe(0);
    return stdout;
  };

  beforeAll(async () => {
    lab = await startTestLab();
    await seedCluster(lab.api, { version: '1.34.2' });
    admin = join(lab.dir, 'admin.kubeconfig');
    await lab.api.writeKubeconfig(admin, 'admin');
  });
  afterAll(() => lab.stop());

  it('drains a node, waiting for a PodDisruptionBudget that allows one pod at a time', async () => {
    const drain = (node: string, ...more: string[]) =>
      k('drain', node, '--ignore-daemonsets', '--delete-emptydir-data', '--timeout=15s', ...more);
    const refused = await drain('k8s-node1');
    expect(refused.stderr).toContain(
      'cannot delete Pods that declare no controller (use --force to override): apps/debug-shell',
    );
    const pods = (node: string) =>
      lab.api.store.list('pods', 'apps').filter((p) => p.spec?.nodeName === node);
    const budget = () => lab.api.store.get('poddisruptionbudgets', 'apps', 'web');
    // Put all web pods on one node: the budget allows one eviction at a time, and kubectl retries after five
    // seconds.
    for (const node of ['k8s-node2', 'k8s-node3', 'k8s-node4']) await ok('cordon', node);
    await ok('uncordon', 'k8s-node1');
    await ok('-n', 'apps', 'scale', 'deploy', 'web', '--replicas=2');
    await lab.api.settled();
    await ok('-n', 'apps', 'delete', 'pod', '-l', 'app=web', '--wait=true');
    await lab.api.settled();
    expect(pods('k8s-node1').filter((p) => p.metadata.labels?.app === 'web')).toHaveLength(2);
    for (const node of ['k8s-node2', 'k8s-node3', 'k8s-node4']) await ok('uncordon', node);
    expect(budget()?.status?.disruptionsAllowed).toBe(1);
    const drained = await drain('k8s-node1', '--force');
    expect(drained.code, drained.stderr).toBe(0);
    expect(drained.stdout).toContain('node/k8s-node1 drained');
    expect(drained.stderr).toMatch(
      /error when evicting pods\/"web-.*Cannot evict pod as it would violate the pod's disruption budget\./,
    );
    expect(pods('k8s-node1')).toEqual([]);
    expect(
      (await ok('get', 'pods', '-A', '--field-selector', 'spec.nodeName=k8s-node1', '-o', 'name'))
        .split('\n')
        .filter(Boolean),
    ).toHaveLength(2);
    await ok('uncordon', 'k8s-node1');
  });
});
