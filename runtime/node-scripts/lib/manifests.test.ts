import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Bench } from '../../../test/node-scripts/harness.ts';

const root = mkdtempSync(join(tmpdir(), 'k8s-manifests-'));
const folder = join(root, 'etc/kubernetes/manifests');
mkdirSync(folder, { recursive: true });
afterAll(() => rmSync(root, { recursive: true }));

/** Runs a function of the library over one manifest. */
function call(manifest: string, name: string, ...words: string[]): string {
  writeFileSync(join(folder, `${name}.yaml`), manifest);
  const script = 'source lib/common.sh; source lib/manifests.sh; "$@"';
  const options = { cwd: join(import.meta.dirname, '..'), env: { ...process.env, K8S_UPGRADE_ROOT: root } };
  const { stdout, stderr } = spawnSync('bash', ['-c', script, '-', ...words], options);
  rmSync(join(folder, `${name}.yaml`));
  return `${stdout}${stderr}`;
}

const server = 'kube-apiserver';
const pod = (containers: string, before = '') =>
  `apiVersion: v1\nkind: Pod\nmetadata:\n  name: ${server}\nspec:\n${before}  containers:\n${containers}  hostNetwork: true\n`;
const kms = '  - name: kms\n    image: registry.example/kms:v0.3.0\n';
const own = `  - image: registry.k8s.io/${server}:v1.34.2\n    name: ${server}\n`;

describe('component_tag reads the image of the container with the name of the component (F36)', () => {
  const cases: [what: string, manifest: string, tag: string][] = [
    ['alone', pod(own), '1.34.2'],
    ['after a sidecar', pod(kms + own), '1.34.2'],
    ['before a sidecar', pod(own + kms), '1.34.2'],
    [
      'after a sidecar that is named late and mentions it',
      pod(
        `  - image: registry.example/kms:v0.3.0\n    env:\n    - name: ${server}\n      value: x\n    volumeMounts:\n    - name: ${server}\n    name: kms\n${own}`,
      ),
      '1.34.2',
    ],
    [
      'beside an init container of that name',
      pod(own, `  initContainers:\n  - name: ${server}\n    image: registry.example/init:v0.0.1\n`),
      '1.34.2',
    ],
    [
      'after a text of a sidecar that looks like a manifest',
      pod(
        `  - name: kms\n    args:\n    - |\n      name: ${server}\n      image: no:v9\n    image: kms:v0.3.0\n${own}`,
      ),
      '1.34.2',
    ],
    ['with the name first', pod(`  - name: ${server}\n    image: reg/${server}:v1.34.2\n`), '1.34.2'],
    ['in quotes', pod(`  - "name": '${server}'\n    image: "reg/${server}:v1.34.2"\n`), '1.34.2'],
    ['with comments', pod(`  - name: ${server} # x\n    # y\n    image: reg/a:v1.34.2 # z\n`), '1.34.2'],
    ['indented', pod(`      -   name: ${server}\n          image: reg/a:v1.34.2\n`), '1.34.2'],
    ['below its dash', pod(`  -\n    name: ${server}\n    image: reg/a:v1.34.2\n`), '1.34.2'],
    ['on the next line', pod(`  - name:\n      ${server}\n    image: >-\n      reg/a:v1.34.2\n`), '1.34.2'],
    ['with ends of lines of Windows', pod(kms + own).replaceAll('\n', '\r\n'), '1.34.2'],
    ['with a digest, too', pod(own.replace('1.34.2', '1.34.2@sha256:0a1b')), '1.34.2'],
    ['of a registry with a port', pod(own.replace('registry.k8s.io', 'reg:5000')), '1.34.2'],
    [
      'without a tag, of a registry with a port',
      pod(`  - name: ${server}\n    image: reg:5000/a\n`),
      'reg:5000/a',
    ],
    ['by digest only', pod(`  - name: ${server}\n    image: reg/a@sha256:0a1b\n`), 'reg/a@sha256:0a1b'],
    ['that is not there', pod(kms), ''],
    ['in a form that nobody writes', pod(`  - {name: ${server}, image: reg/a:v1.34.2}\n`), ''],
  ];
  test.each(cases)('%s', (_what, manifest, tag) => {
    expect(call(manifest, server, 'component_tag', server)).toBe(tag);
  });

  test('a component without a manifest has none', () => {
    expect(call('', 'other', 'component_tag', server)).toBe('');
    expect(call('', 'other', 'check_manifests', server)).toBe('');
  });

  test('a manifest without the container is refused by its name', () => {
    expect(call(pod(kms), server, 'check_manifests', server)).toBe(
      'error: /etc/kubernetes/manifests/kube-apiserver.yaml shows no image of a container kube-apiserver; write it as kubeadm does\n',
    );
  });
});

describe('flag_of reads a flag of that container as people write it (F38)', () => {
  const etcd = (command: string) =>
    `spec:\n  containers:\n  - name: backup\n    args: [--data-dir=/no]\n  - name: etcd\n    image: etcd:3.6.5-0\n${command}`;
  const cases: [what: string, command: string, value: string][] = [
    ['in one word', '    command:\n    - etcd\n    - --data-dir=/data\n', '/data'],
    ['in two words', '    command:\n    - etcd\n    - --data-dir\n    - /data\n', '/data'],
    ['with one dash', '    command:\n      - etcd\n      - -data-dir=/data\n', '/data'],
    ['in quotes', '    command:\n    - etcd\n    - "--data-dir=/data" # x\n', '/data'],
    ['in other quotes', "    args:\n    - '--data-dir=/da''ta'\n", "/da'ta"],
    ['in brackets', '    command: [etcd, "--data-dir=/a,b", --x]\n', '/a,b'],
    ['in brackets over lines', "    command: ['etcd',\n      --data-dir, /data,\n    ]\n", '/data'],
    ['twice', '    command:\n    - etcd\n    - --data-dir=/a\n    args:\n    - --data-dir=/data\n', '/data'],
    ['not at all', '    command:\n    - etcd\n    - --data-dir-other=/data\n', ''],
    ['of another container', '    command: [etcd]\n  - name: late\n    args: [--data-dir=/no]\n', ''],
  ];
  test.each(cases)('%s', (_what, command, value) => {
    expect(call(etcd(command), 'etcd', 'flag_of', 'etcd', 'data-dir')).toBe(`${value}\n`);
  });
});

describe('a sidecar before the API server (F36)', () => {
  let bench: Bench;
  beforeEach(async () => {
    bench = await Bench.open();
  });
  afterEach(() => bench.close());
  const file = `/etc/kubernetes/manifests/${server}.yaml`;
  const withSidecar = () =>
    bench.node.write(
      file,
      bench.node.read(file).replace('  containers:\n', `  containers:\n${kms.replace('v0.3.0', '0.3.0')}`),
    );
  const run = (...words: string[]) =>
    bench.run('update_k8s.sh', '--role', 'master', '--release', '1.34.5', ...words);

  test('is not taken for it', async () => {
    withSidecar();
    const { exit, lastError } = await run('--dry-run');
    expect([exit, lastError]).toEqual([0, '']);
  });

  test('does not hide that the API server would skip a minor', async () => {
    withSidecar();
    bench.node.write(file, bench.node.read(file).replace(':v1.34.2', ':v1.32.9'));
    expect((await run('--dry-run')).lastError).toBe(
      'error: --release: 1.34.5 skips a minor from kube-apiserver 1.32.9 on this node; go to 1.33 first',
    );
  });

  test('alone in the manifest is refused', async () => {
    bench.node.write(file, pod(kms));
    expect((await run('--dry-run')).lastError).toContain(
      'kube-apiserver.yaml shows no image of a container kube-apiserver',
    );
  });
});
