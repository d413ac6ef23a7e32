import { describe, expect, test } from 'vitest';
import { type Bench, benchPerTest } from '../../test/node-scripts/harness.ts';

let bench: Bench;
const fresh = () =>
  benchPerTest((opened) => {
    bench = opened;
  });

const list = (name = 'kubeadm') => bench.run('list_packages.sh', '--package', name);
const source = '/etc/apt/sources.list.d/kubernetes.list';

describe('list_packages.sh', () => {
  fresh();

  test('refreshes the package list (F13) and prints the newest version first', async () => {
    const first = await list();
    expect(first.exit).toBe(0);
    expect(first.stdout).toMatch(/^ +kubeadm \| 1\.34\.5-1\.1 \| http/m);
    const repository = `${bench.repository.base}v1.34/deb`;
    expect(first.result).toEqual({ versions: ['1.34.5-1.1', '1.34.2-1.1'], incomplete: [], repository });
    bench.repository.publish('1.34.10');
    expect((await list()).result).toEqual({
      versions: ['1.34.10-1.1', '1.34.5-1.1', '1.34.2-1.1'],
      incomplete: [],
      repository,
    });
  });

  test('F49: of several packages, lists a release once all have it, each with its own revision', async () => {
    const { repository } = bench;
    repository.publish('1.34.6', { names: ['kubeadm'] });
    repository.publish('1.34.7', { names: ['kubelet', 'kubectl'] });
    repository.publish('1.34.8', { names: ['kubeadm'], revision: '2.1' });
    repository.publish('1.34.8', { names: ['kubelet', 'kubectl'] });
    // A package of another architecture does not help.
    repository.publish('1.34.9', { names: ['kubectl'], architectures: ['arm64'] });
    repository.publish('1.34.9', { names: ['kubeadm', 'kubelet'] });
    expect((await list('kubeadm,kubelet,kubectl')).result).toMatchObject({
      versions: ['1.34.8-2.1', '1.34.5-1.1', '1.34.2-1.1'],
      incomplete: ['1.34.9 kubectl', '1.34.7 kubeadm', '1.34.6 kubelet kubectl'],
    });
  });

  test('fails when the repository does not offer the package (F12)', async () => {
    const { exit, lastError, result } = await list('kubefed');
    expect(exit).toBe(1);
    expect(lastError).toContain('error: the Kubernetes repository (v1.34) offers no kubefed');
    expect(result).toBeUndefined();
  });

  test('names what to add on a node without a Kubernetes source', async () => {
    // CRI-O's repository has a similar URL, but is not the Kubernetes repository.
    bench.node.write(source, 'deb [trusted=yes] https://pkgs.k8s.io/addons:/cri-o:/stable:/v1.34/deb/ /\n');
    const { exit, lastError } = await list();
    expect(exit).toBe(1);
    expect(lastError).toContain(
      'neither /etc/apt/sources.list nor a file in /etc/apt/sources.list.d names a Kubernetes repository; add one',
    );
  });

  test.each([
    ['redirectLoop', { redirectLoop: true }, 'W: Failed to fetch'],
    ['reset', { reset: true }, 'W: Failed to fetch'],
    ['status 503', { status: 503 }, 'E: Failed to fetch http'],
    // As the CDN of pkgs.k8s.io answers for a minor that it does not have. apt then calls it unsigned, too.
    ['status 403', { status: 403 }, 'E: Failed to fetch http'],
  ])('fails when the repository has the fault %s', async (_name, faults, reason) => {
    bench.repository.faults = faults;
    const { exit, lastError } = await list();
    expect(exit).toBe(1);
    expect(lastError).toContain(
      `error: apt-get update failed for /etc/apt/sources.list.d/kubernetes.list: ${reason}`,
    );
  });

  test('refuses an invalid package name', async () => {
    const { exit, lastError } = await list('kubeadm;id');
    expect(exit).toBe(2);
    expect(lastError).toContain('--package: "kubeadm;id" is not allowed');
  });
});
