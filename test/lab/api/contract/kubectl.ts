import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { hasKubectl, kubectl } from '../testing.ts';
import { isReady, job, namespace, pod, workload } from './objects.ts';
import type { StartTarget, Target } from './target.ts';

/** The output of the kubectl commands in the runbook. */
export function describeKubectl(start: StartTarget): void {
  describe.skipIf(!hasKubectl)('kubectl', () => {
    let target: Target;
    let admin: string;
    const k = (...args: string[]) => kubectl(admin, ...args);
    const ok = async (...args: string[]): Promise<string> => {
      const { code, stdout, stderr } = await k(...args);
      expect(code, stderr).toBe(0);
      return stdout;
    };
    beforeAll(async () => {
      target = await start();
      admin = await target.kubeconfig('admin');
      await target.rest.create([namespace('apps')]);
      const account = '/api/v1/namespaces/apps/serviceaccounts/default';
      await target.rest.eventually(account, (found) => found !== undefined);
      await Promise.all([target.addNode('one'), target.addNode('two')]);
    });
    afterAll(() => target?.stop());

    it('gets nodes with their columns, cordons and uncordons', async () => {
      const [header, first] = (await ok('get', 'nodes')).split('\n');
      expect(header?.split(/ +/)).toEqual(['NAME', 'STATUS', 'ROLES', 'AGE', 'VERSION']);
      expect(first).toMatch(/^one +Ready +<none> +\d+[ms]\S* +v1\.34\.2$/);
      expect(await ok('cordon', 'one')).toBe('node/one cordoned\n');
      expect(await ok('cordon', 'one')).toBe('node/one already cordoned\n');
      expect(await ok('get', 'node', 'one', '--no-headers')).toMatch(/^one +Ready,SchedulingDisabled /);
      expect(await ok('uncordon', 'one')).toBe('node/one uncordoned\n');
      expect(await ok('get', 'nodes', '-o', 'name')).toBe('node/one\nnode/two\n');
    });

    it('reports objects and types that do not exist', async () => {
      expect((await k('get', 'pod', 'nobody')).stderr).toBe(
        'Error from server (NotFound): pods "nobody" not found\n',
      );
      expect((await k('get', 'unicorns')).stderr).toBe(
        'error: the server doesn\'t have a resource type "unicorns"\n',
      );
      expect((await k('-n', 'apps', 'get', 'pods')).stderr).toBe('No resources found in apps namespace.\n');
    });

    it('applies an object repeatedly, and changes nothing in a dry run', async () => {
      const file = join(target.dir, 'map.yaml');
      const manifest = (value: string) =>
        `apiVersion: v1\nkind: ConfigMap\nmetadata: {name: demo, namespace: apps}\ndata: {key: "${value}"}\n`;
      await writeFile(file, manifest('one'));
      expect(await ok('apply', '-f', file, '--dry-run=server')).toBe(
        'configmap/demo created (server dry run)\n',
      );
      expect(await ok('apply', '-f', file)).toBe('configmap/demo created\n');
      expect(await ok('apply', '-f', file)).toBe('configmap/demo unchanged\n');
      await writeFile(file, manifest('two'));
      expect(await ok('apply', '-f', file)).toBe('configmap/demo configured\n');
      expect((await k('create', '-f', file)).stderr).toContain('configmaps "demo" already exists');
      expect(await ok('delete', '-f', file)).toMatch(/^configmap "demo" deleted/);
    });

    it('creates a Job from a CronJob, waits for it and shows its log', async () => {
      const { spec } = job('', 'apps', 'echo on $HOSTNAME; echo two');
      const cronJob = { schedule: '0 12 * * 0', suspend: true, jobTemplate: { spec } };
      const metadata = { name: 'tick', namespace: 'apps' };
      await target.rest.create([{ apiVersion: 'batch/v1', kind: 'CronJob', metadata, spec: cronJob }]);
      expect(await ok('-n', 'apps', 'get', 'cronjobs', '--no-headers')).toMatch(
        /^tick +0 12 \* \* 0 +<none> +True +0 +<none> +\d+s\n$/,
      );
      expect(await ok('-n', 'apps', 'create', 'job', '--from=cronjob/tick', 'once')).toBe(
        'job.batch/once created\n',
      );
      expect(await ok('-n', 'apps', 'wait', '--for=condition=complete', 'job/once', '--timeout=15s')).toBe(
        'job.batch/once condition met\n',
      );
      expect(await ok('-n', 'apps', 'logs', '-l', 'job-name=once', '--tail=1')).toBe('two\n');
      expect(await ok('-n', 'apps', 'get', 'jobs', '--no-headers')).toMatch(/^once +Complete +1\/1 +\d+s/);
      expect(await ok('-n', 'apps', 'get', 'pods', '--no-headers')).toMatch(
        /^once-\w{5} +0\/1 +Completed +0 +\d+s\n$/,
      );
      await ok('-n', 'apps', 'delete', 'job', 'once');
    });

    it('drains a node, and names pods that it refuses to delete', async () => {
      const { rest } = target;
      await rest.create([
        workload('Deployment', 'web', 'apps', 2),
        pod('alone', 'apps', { nodeName: 'one', terminationGracePeriodSeconds: 1 }),
      ]);
      await rest.eventually(
        '/api/v1/namespaces/apps/pods',
        ({ items }) => items.length === 3 && items.every(isReady),
      );
      const refused = await k('drain', 'one');
      expect(refused.code).toBe(1);
      expect(refused.stdout).toBe('node/one cordoned\n');
      expect(refused.stderr).toContain(
        'cannot delete Pods that declare no controller (use --force to override): apps/alone',
      );
      const drained = await ok('drain', 'one', '--force', '--timeout=15s');
      expect(drained).toContain('evicting pod apps/alone\n');
      expect(drained).toContain('pod/alone evicted\n');
      expect(drained).toContain('node/one drained\n');
    });

    it('answers can-i and whoami, and reports forbidden requests', async () => {
      const user = { namespace: 'apps', serviceAccount: 'default' };
      const account = await target.kubeconfig(user);
      expect((await kubectl(account, 'auth', 'can-i', 'list', 'pods')).stdout).toBe('no\n');
      expect(await ok('auth', 'can-i', 'delete', 'nodes')).toMatch(/yes\n$/);
      const who = await kubectl(account, 'auth', 'whoami', '-o', 'jsonpath={.status.userInfo.username}');
      expect(who.stdout).toBe('system:serviceaccount:apps:default');
      expect((await kubectl(account, 'get', 'nodes')).stderr).toBe(
        'Error from server (Forbidden): nodes is forbidden: User "system:serviceaccount:apps:default" cannot list resource "nodes" in API group "" at the cluster scope\n',
      );
    });
  });
}
