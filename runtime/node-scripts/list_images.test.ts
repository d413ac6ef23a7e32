import { readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { type Bench, benchPerTest } from '../../test/node-scripts/harness.ts';

let bench: Bench;

describe('list_images.sh', () => {
  benchPerTest((opened) => {
    bench = opened;
  });
  const list = (...args: string[]) => bench.run('list_images.sh', ...args);

  test('lists what kubeadm installs for a release, from the repository of the cluster', async () => {
    writeFileSync(
      join(bench.node.environment.LAB_CLUSTER_DIR ?? '', 'image-repository'),
      'mirror:5000/k8s\n',
    );
    const { exit, stderr, result } = await list('--release', '1.34.2');
    expect([exit, stderr]).toEqual([0, '']);
    expect(result).toEqual({
      images: [
        ...['kube-apiserver', 'kube-controller-manager', 'kube-scheduler', 'kube-proxy'].map(
          (name) => `mirror:5000/k8s/${name}:v1.34.2`,
        ),
        'mirror:5000/k8s/coredns:v1.12.1',
        'mirror:5000/k8s/pause:3.10.1',
        'mirror:5000/k8s/etcd:3.6.5-0',
      ],
    });
    expect(readdirSync(join(bench.node.paths.root, 'tmp'))).toEqual([]);
    expect(readdirSync(join(bench.node.paths.root, 'var/lib')).sort()).toEqual([
      'apt',
      'dpkg',
      'etcd',
      'kubelet',
    ]);
  });

  test('waits for an API server that is away', async () => {
    bench.node.faults.set('no-api', { times: 1 });
    expect((await list('--release', '1.34.2')).stdout).toMatch(/waiting for the network: .*\nresult: /);
  });

  test('reports why kubeadm lists nothing, and leaves nothing behind', async () => {
    const kubeadm = join(bench.node.paths.bin, 'kubeadm');
    // It is a link to the lab's own.
    rmSync(kubeadm);
    const text = '#!/bin/bash\necho "invalid configuration: imageRepository" >&2; exit 1\n';
    writeFileSync(kubeadm, text, { mode: 0o755 });
    expect(await list('--release', '1.34.2')).toMatchObject({
      exit: 1,
      lastError: 'error: kubeadm cannot list its images: invalid configuration: imageRepository',
    });
    expect(readdirSync(join(bench.node.paths.root, 'tmp'))).toEqual([]);
  });

  test.each([
    [[], '--release: expected a release X.Y.Z such as 1.34.5'],
    [['--release', 'v1.34.5'], '--release: "v1.34.5" is not allowed'],
    [['--dry-run'], '"--dry-run" is not an option'],
  ])('refuses %j', async (args, message) => {
    const { exit, lastError } = await list(...args);
    expect(lastError).toContain(`error: ${message}`);
    expect(exit).toBe(2);
  });
});
