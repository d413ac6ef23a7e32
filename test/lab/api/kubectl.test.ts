import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { seedCluster } from '../cluster.ts';
import { hasKubectl, kubectl, kubectlUntil, namespace, startTestLab, type TestLab } from './testing.ts';

const account = { namespace: 'k8s-upgrade', serviceAccount: 'reader' };

describe.skipIf(!hasKubectl)('kubectl against the lab', () => {
  let lab: TestLab;
  let admin: string;
  let reader: string;
  const k = (...args: string[]) => kubectl(admin, ...args);
  const ok = async (...args: string[]) => {
    const { code, stdout, stderr } = await k(...args);
    expect(code, stderr).toBe(0);
    return stdout;
  };

  beforeAll(async () => {
    lab = await startTestLab();
    await seedCluster(lab.api, { version: '1.34.2' });
    const rbac = 'rbac.authorization.k8s.io';
    lab.api.apply([
      namespace('k8s-upgrade'),
      { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'reader', namespace: 'k8s-upgrade' } },
      {
        apiVersion: `${rbac}/v1`,
        kind: 'Role',
        metadata: { name: 'reader', namespace: 'k8s-upgrade' },
        rules: [{ apiGroups: [''], resources: ['pods'], verbs: ['list'] }],
      },
      {
        apiVersion: `${rbac}/v1`,
        kind: 'RoleBinding',
        metadata: { name: 'reader', namespace: 'k8s-upgrade' },
        roleRef: { apiGroup: rbac, kind: 'Role', name: 'reader' },
        subjects: [{ kind: 'ServiceAccount', name: 'reader' }],
      },
      {
        apiVersion: 'batch/v1',
        kind: 'CronJob',
        metadata: { name: 'tick', namespace: 'k8s-upgrade' },
        spec: {
          schedule: '0 12 * * 0',
          suspend: true,
          jobTemplate: {
            spec: {
              backoffLimit: 0,
              template: {
                spec: {
                  restartPolicy: 'Never',
                  containers: [
                    {
                      name: 'main',
                      image: 'lab/sh:1',
                      args: ['echo on $NODE; until [ -e "$GO" ]; do sleep 0.05; done; echo two; echo three'],
                      env: [
                        { name: 'NODE', valueFrom: { fieldRef: { fieldPath: 'spec.nodeName' } } },
                        { name: 'GO', value: join(lab.dir, 'go') },
                      ],
                    },
                  ],
                },
              },
            },
          },
        },
      },
    ]);
    admin = join(lab.dir, 'admin.kubeconfig');
    reader = join(lab.dir, 'reader.kubeconfig');
    await lab.api.writeKubeconfig(admin, 'admin');
    await lab.api.writeKubeconfig(reader, account);
  });
  afterAll(() => lab.stop());

  it('gets nodes with their real columns', async () => {
    const lines = (await ok('get', 'nodes', '-o', 'wide')).split('\n');
    expect(lines[0]?.split(/\s{2,}/)).toEqual([
      'NAME',
      'STATUS',
      'ROLES',
      'AGE',
      'VERSION',
      'INTERNAL-IP',
      'EXTERNAL-IP',
      'OS-IMAGE',
      'KERNEL-VERSION',
      'CONTAINER-RUNTIME',
    ]);
    expect(lines[1]).toMatch(
      /^k8s-master +Ready +control-plane +40d +v1\.34\.2 +127\.0\.1\.1 +<none> +Ubuntu/,
    );
    expect(await ok('get', 'nodes', '-l', 'node-role.kubernetes.io/control-plane', '-o', 'name')).toBe(
      'node/k8s-master\n',
    );
    expect(
      await ok('get', 'nodes', '-l', 'kubernetes.io/hostname notin (k8s-master,k8s-node1)', '-o', 'name'),
    ).toBe('node/k8s-node2\nnode/k8s-node3\nnode/k8s-node4\n');
  });

  it('gets pods of one node by field selector, and names what does not exist', async () => {
    const pods = await ok(
      'get',
      'pods',
      '-A',
      '--field-selector',
      'spec.nodeName=k8s-master,status.phase!=Failed',
    );
    expect(pods).toContain('kube-apiserver-k8s-master');
    expect(pods).not.toContain('web-');
    const missing = await k('get', 'pod', 'nobody');
    expect(missing.stderr).toContain('Error from server (NotFound): pods "nobody" not found');
    const unknown = await k('get', 'unicorns');
    expect(unknown.stderr).toContain('the server doesn\'t have a resource type "unicorns"');
  });

  it('describes a node with its conditions, pods and lease', async () => {
    const text = await ok('describe', 'node', 'k8s-master');
    expect(text).toMatch(/Ready +True .*KubeletReady/);
    expect(text).toMatch(/Taints: +node-role\.kubernetes\.io\/control-plane:NoSchedule/);
    expect(text).toContain('HolderIdentity:  k8s-master');
    expect(text).toMatch(/kube-system +etcd-k8s-master/);
  });

  it('adds and removes annotations and labels', async () => {
    await ok('annotate', 'ns', 'k8s-upgrade', 'viktorbarzin.me/k8s-upgrade-target=1.34.5');
    const path = 'jsonpath={.metadata.annotations.viktorbarzin\\.me/k8s-upgrade-target}';
    expect(await ok('get', 'ns', 'k8s-upgrade', '-o', path)).toBe('1.34.5');
    const twice = await k('annotate', 'ns', 'k8s-upgrade', 'viktorbarzin.me/k8s-upgrade-target=1.35.1');
    expect(twice.stderr).toContain('already has a value');
    await ok('annotate', 'ns', 'k8s-upgrade', 'viktorbarzin.me/k8s-upgrade-target-');
    expect(await ok('get', 'ns', 'k8s-upgrade', '-o', path)).toBe('');
    await ok('label', 'node', 'k8s-node1', 'disk=ssd');
    expect(await ok('get', 'node', '-l', 'disk=ssd', '-o', 'name')).toBe('node/k8s-node1\n');
  });

  it('applies merge, strategic and JSON patches', async () => {
    await ok(
      '-n',
      'k8s-upgrade',
      'patch',
      'cronjob',
      'tick',
      '--type=merge',
      '-p',
      '{"metadata":{"labels":{"a":"b"}}}',
    );
    await ok(
      '-n',
      'apps',
      'patch',
      'deploy',
      'worker',
      '-p',
      '{"spec":{"template":{"spec":{"containers":[{"name":"worker","env":[{"name":"A","value":"1"}]}]}}}}',
    );
    expect(
      await ok(
        '-n',
        'apps',
        'get',
        'deploy',
        'worker',
        '-o',
        'jsonpath={.spec.template.spec.containers[*].image} {.spec.template.spec.containers[0].env[0].value}',
      ),
    ).toBe('docker.io/library/worker:1.0.0 1');
    await ok(
      '-n',
      'apps',
      'patch',
      'deploy',
      'worker',
      '--type=json',
      '-p',
      '[{"op":"replace","path":"/spec/replicas","value":2}]',
    );
    expect(await ok('-n', 'apps', 'rollout', 'status', 'deploy', 'worker', '--timeout=10s')).toContain(
      'successfully rolled out',
    );
  });

  it('applies an object repeatedly, and changes nothing in a dry run', async () => {
    const file = join(lab.dir, 'cm.yaml');
    const manifest = (value: string) =>
      `apiVersion: v1\nkind: ConfigMap\nmetadata: {name: demo, namespace: apps}\ndata: {key: "${value}"}\n`;
    await writeFile(file, manifest('one'));
    expect(await ok('apply', '-f', file, '--dry-run=server')).toBe(
      'configmap/demo created (server dry run)\n',
    );
    expect((await k('-n', 'apps', 'get', 'cm', 'demo')).code).toBe(1);
    expect(await ok('apply', '-f', file)).toBe('configmap/demo created\n');
    expect(await ok('apply', '-f', file)).toBe('configmap/demo unchanged\n');
    await writeFile(file, manifest('two'));
    expect(await ok('apply', '-f', file)).toBe('configmap/demo configured\n');
    expect((await k('create', '-f', file)).stderr).toContain('configmaps "demo" already exists');
    expect(await ok('delete', '-f', file)).toContain('configmap "demo" deleted');
  });

  it('streams a list as initial watch events, and ends the watch at its timeout', async () => {
    const query =
      'watch=1&sendInitialEvents=true&allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan&timeoutSeconds=1';
    const start = Date.now();
    const lines = (await ok('get', '--raw', `/api/v1/nodes?${query}`))
      .trim()
      .split('\n')
      .map((l) => JSON.parse(l));
    expect(Date.now() - start).toBeGreaterThan(900);
    expect(lines.map((l) => l.type)).toEqual(['ADDED', 'ADDED', 'ADDED', 'ADDED', 'ADDED', 'BOOKMARK']);
    expect(lines[5].object.metadata.annotations).toEqual({ 'k8s.io/initial-events-end': 'true' });
  });

  it('reports a cordon to a watch', async () => {
    const watch = kubectlUntil(admin, 'SchedulingDisabled', 'get', 'nodes', '-w', '--no-headers');
    await watch.until('k8s-node4');
    expect(await ok('cordon', 'k8s-node4')).toBe('node/k8s-node4 cordoned\n');
    expect(await watch.done).toMatch(/k8s-node4 +Ready,SchedulingDisabled/);
    await lab.api.settled();
    expect(await ok('get', 'node', 'k8s-node4', '-o', 'jsonpath={.spec.taints[*].key}')).toBe(
      'node.kubernetes.io/unschedulable',
    );
    expect(await ok('uncordon', 'k8s-node4')).toBe('node/k8s-node4 uncordoned\n');
  });

  it('creates a Job from a CronJob and follows its log', async () => {
    expect(await ok('-n', 'k8s-upgrade', 'create', 'job', '--from=cronjob/tick', 'once')).toBe(
      'job.batch/once created\n',
    );
    await ok(
      '-n',
      'k8s-upgrade',
      'wait',
      '--for=condition=ready',
      'pod',
      '-l',
      'job-name=once',
      '--timeout=10s',
    );
    const log = kubectlUntil(admin, 'three', '-n', 'k8s-upgrade', 'logs', '-f', 'job/once');
    await log.until('on k8s-');
    await writeFile(join(lab.dir, 'go'), '');
    expect(await log.done).toMatch(/^on k8s-node\d\ntwo\nthree\n$/);
    await ok('-n', 'k8s-upgrade', 'wait', '--for=condition=complete', 'job/once', '--timeout=10s');
    expect(await ok('-n', 'k8s-upgrade', 'logs', '-l', 'job-name=once', '--tail=1')).toBe('three\n');
    expect(await ok('-n', 'k8s-upgrade', 'get', 'jobs', '--no-headers')).toMatch(/^once +Complete +1\/1/);
    expect(await ok('-n', 'k8s-upgrade', 'describe', 'job', 'once')).toContain('Created pod: once-');
    expect(await ok('-n', 'k8s-upgrade', 'get', 'cronjobs', '--no-headers')).toMatch(
      /^tick +0 12 \* \* 0 +<none> +True +0/,
    );
    await ok('-n', 'k8s-upgrade', 'delete', 'job', 'once');
    await lab.api.settled();
    expect(lab.api.store.list('pods', 'k8s-upgrade')).toEqual([]);
  });

  it('answers can-i, whoami and forbidden requests as the service account', async () => {
    const as = (...args: string[]) => kubectl(reader, ...args);
    expect((await as('auth', 'can-i', 'list', 'pods')).stdout).toBe('yes\n');
    expect((await as('auth', 'can-i', 'delete', 'nodes')).stdout).toBe('no\n');
    expect((await as('auth', 'can-i', '--list')).stdout).toMatch(/pods +\[\] +\[\] +\[list\]/);
    expect((await as('auth', 'whoami', '-o', 'jsonpath={.status.userInfo.username}')).stdout).toBe(
      'system:serviceaccount:k8s-upgrade:reader',
    );
    expect((await as('get', 'pods')).stdout + (await as('get', 'pods')).stderr).toContain(
      'No resources found in k8s-upgrade namespace.',
    );
    expect((await as('get', 'nodes')).stderr).toBe(
      'Error from server (Forbidden): nodes is forbidden: User "system:serviceaccount:k8s-upgrade:reader" cannot list resource "nodes" in API group "" at the cluster scope\n',
    );
    expect(await ok('auth', 'can-i', 'delete', 'nodes')).toBe('yes\n');
  });

  it('deletes a namespace with its contents', async () => {
    await ok('create', 'namespace', 'gone');
    await ok('-n', 'gone', 'create', 'deployment', 'web', '--image=nginx:1', '--replicas=2');
    await ok('-n', 'gone', 'rollout', 'status', 'deploy', 'web', '--timeout=10s');
    expect(await ok('delete', 'namespace', 'gone')).toContain('namespace "gone" deleted');
    expect(lab.api.store.list('pods', 'gone')).toEqual([]);
    expect((await k('-n', 'gone', 'create', 'configmap', 'late')).stderr).toContain(
      'namespaces "gone" not found',
    );
  });
});
