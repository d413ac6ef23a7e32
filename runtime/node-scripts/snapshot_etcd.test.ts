import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { type Bench, benchPerBlock, benchPerTest } from '../../test/node-scripts/harness.ts';

let bench: Bench;
const fresh = () =>
  benchPerTest((opened) => {
    bench = opened;
  });
const shared = () =>
  benchPerBlock((opened) => {
    bench = opened;
  });

const manifest = '/etc/kubernetes/manifests/etcd.yaml';
const directory = '/mnt/main/etcd-backup';
const save = () => bench.run('snapshot_etcd.sh', '--save', directory, '--release', '1.34.5');
const verify = (path: string) => bench.run('snapshot_etcd.sh', '--verify', path);
const onHost = (path: string) => join(bench.node.paths.root, path);
const saved = () => (existsSync(onHost(directory)) ? readdirSync(onHost(directory)) : []);
const inData = () => readdirSync(onHost('/var/lib/etcd')).filter((name) => name !== 'member');
interface Result {
  path: string;
  hash: number;
  sha256: string;
}

describe('snapshot_etcd.sh', () => {
  fresh();

  test('saves a verified snapshot with its sha256, readable by root only', async () => {
    const { exit, result, stderr } = await save();
    expect(stderr).toBe('');
    expect(exit).toBe(0);
    expect(result).toEqual({
      path: expect.stringMatching(/^\/mnt\/main\/etcd-backup\/k8s-upgrade-pre-1\.34\.5-\d{10}\.db$/),
      hash: expect.any(Number),
      revision: 40221,
      totalKey: 1294,
      totalSize: statSync(onHost((result as Result).path)).size,
      sha256: expect.stringMatching(/^[0-9a-f]{64}$/),
    });
    const { path, sha256 } = result as Result;
    const name = path.split('/').at(-1);
    expect(bench.node.read(`${path}.sha256`)).toBe(`${sha256}  ${name}\n`);
    expect(saved().sort()).toEqual([name, `${name}.sha256`]);
    expect(statSync(onHost(path)).mode & 0o777).toBe(0o600);
    expect(inData()).toEqual([]);
  });

  test('verifies a saved snapshot, with the same result', async () => {
    const { result } = await save();
    const again = await verify((result as Result).path);
    expect(again.exit).toBe(0);
    expect(again.result).toEqual(result);
    expect(inData()).toEqual([]);
  });

  test('refuses a snapshot that has changed since', async () => {
    const { path } = (await save()).result as Result;
    writeFileSync(onHost(path), 'x', { flag: 'a' });
    const { exit, lastError, result } = await verify(path);
    expect(exit).toBe(1);
    expect(lastError).toContain('has changed since it was saved');
    expect(result).toBeUndefined();
  });

  test.each([
    ['is missing', (path: string) => rmSync(onHost(path)), 'there is no snapshot'],
    ['has no sha256', (path: string) => rmSync(onHost(`${path}.sha256`)), '.sha256 is missing'],
  ])('refuses a snapshot that %s', async (_what, spoil, message) => {
    const { path } = (await save()).result as Result;
    spoil(path);
    const { exit, lastError } = await verify(path);
    expect(exit).toBe(1);
    expect(lastError).toContain(message);
  });

  test('refuses a snapshot without keys and deletes it', async () => {
    bench.node.faults.set('etcd-empty', {});
    const { exit, lastError } = await save();
    expect(exit).toBe(1);
    expect(lastError).toMatch(/^error: the snapshot is empty \(.*"totalKey":0/);
    expect(saved()).toEqual([]);
    expect(inData()).toEqual([]);
  });

  test.each([
    ['in etcd’s directory', '/var/lib/etcd'],
    ['at the destination', '/mnt/main'],
  ])('reports too little space %s before anything is written', async (_what, path) => {
    mkdirSync(onHost(directory));
    bench.node.faults.set('disk-full', { mib: 0, path });
    const { exit, lastError } = await save();
    expect(exit).toBe(1);
    expect(lastError).toMatch(/^error: only 0 MiB are free on the file system of .*, the snapshot needs 2/);
    expect(bench.node.history.some(({ program }) => program === 'etcdctl')).toBe(false);
  });

  test('reports too little space for the copy to verify before it is made', async () => {
    const { path } = (await save()).result as Result;
    // The file that a killed check left is removed first, so it does not count.
    writeFileSync(onHost('/var/lib/etcd/k8s-upgrade-verify.db'), 'half');
    bench.node.faults.set('disk-full', { mib: 1, path: '/var/lib/etcd' });
    const { exit, lastError } = await verify(path);
    expect(exit).toBe(1);
    expect(lastError).toMatch(
      /^error: only 1 MiB are free on the file system of \/var\/lib\/etcd, the snapshot needs 2/,
    );
    expect(inData()).toEqual([]);
    expect(saved()).toHaveLength(2);
  });

  test.each([
    ['https://127.0.0.1:2379,https://192.0.2.7:2379', 'https://127.0.0.1:2379'],
    ['https://[::1]:2379,https://[fd00::7]:2379', 'https://[::1]:2379'],
    ['https://[fd00::7]:2379,https://[::1]:12379', 'https://[::1]:12379'],
    ['http://127.0.0.1:2379,https://localhost:4001,https://127.0.0.1:2379', 'https://localhost:4001'],
    ['https://0.0.0.0:2379', 'https://127.0.0.1:2379'],
    ['https://[::]:2379', 'https://[::1]:2379'],
    ['https://192.0.2.7:2379', 'https://192.0.2.7:2379'],
  ])('F38: contacts an etcd that listens on %s at %s', async (urls, endpoint) => {
    const text = bench.node.read(manifest).replace(/(--listen-client-urls)=.*/, `$1=${urls}`);
    bench.node.write(manifest, text);
    expect((await save()).exit).toBe(0);
    const etcdctl = bench.node.history.find(({ args }) => args.includes('save'))?.args;
    expect(etcdctl).toContain(`--endpoints=${endpoint}`);
  });

  test('F38: reads certificates and data directory from the manifest, as people write it', async () => {
    const files = ['cert-file', 'server.crt', 'key-file', 'server.key', 'trusted-ca-file', 'ca.crt'];
    const flags = files.map((word) =>
      word.includes('.') ? `/etc/kubernetes/ssl/etcd/${word}` : `--${word}`,
    );
    const words = [
      'etcd',
      ...flags,
      '"--data-dir=/data/etcd/"',
      '"--listen-client-urls=https://127.0.0.1:2379"',
    ];
    bench.node.write(
      manifest,
      `spec:\n  containers:\n  - name: backup\n    image: backup:1\n    args: [--data-dir=/no, --cert-file=/no]\n  - name: etcd\n    image: etcd:3.6.5-0\n    command: [${words.join(', ')}]\n`,
    );
    const state = (name: string, text: string) => writeFileSync(join(bench.node.paths.state, name), text);
    state('etcd-pki', '/etc/kubernetes/ssl/etcd');
    state('etcd-data', '/data/etcd');
    mkdirSync(onHost('/data'));
    renameSync(onHost('/var/lib/etcd'), onHost('/data/etcd'));
    const { exit, lastError } = await save();
    expect([exit, lastError]).toEqual([0, '']);
    expect(readdirSync(onHost('/data/etcd'))).toEqual(['member']);
  });

  const missing = (flag: string) => (text: string) => text.replace(new RegExp(` *- --${flag}=.*\\n`), '');
  test.each<[what: string, change: (text: string) => string, message: string]>([
    ['no certificate', missing('cert-file'), 'a path in --cert-file'],
    ['no data directory', missing('data-dir'), 'a path in --data-dir'],
    ['a variable', (text) => text.replace('=/var/lib/etcd', '=$(DATA)'), 'a path in --data-dir'],
    ['only plain HTTP', (text) => text.replace('=https:', '=http:'), 'an https URL in --listen-client-urls'],
    [
      'a file of settings beside the flags',
      (text) => text.replace('    - --data-dir', '    - --config-file=/etc/etcd.yaml\n    - --data-dir'),
      'flags; it reads a file of settings',
    ],
    [
      'a file of settings in a variable',
      (text) =>
        text.replace(
          '  hostNetwork',
          '    env:\n    - name: ETCD_CONFIG_FILE\n      value: /x\n  hostNetwork',
        ),
      'flags; it reads a file of settings',
    ],
    [
      'another container',
      (text) => text.replace('name: etcd\n  hostNetwork', 'name: db\n  hostNetwork'),
      'a container etcd',
    ],
  ])('F38: refuses a manifest of etcd with %s', async (_what, change, message) => {
    const before = bench.node.read(manifest);
    bench.node.write(manifest, change(before));
    expect(bench.node.read(manifest)).not.toBe(before);
    const { exit, lastError } = await save();
    expect(exit).toBe(1);
    expect(lastError).toContain(`error: etcd's manifest on this node does not show ${message};`);
    expect(bench.node.history.some(({ program }) => program === 'crictl')).toBe(false);
  });

  describe('F37: other pods with a container etcd', () => {
    const other = (n: number, namespace: string, name: string) =>
      `${String(n).repeat(64)} etcd ${namespace} ${name}\n`;
    const others = (...lines: string[]) =>
      writeFileSync(join(bench.node.paths.state, 'containers'), lines.join(''));

    test('are not asked', async () => {
      others(
        other(1, 'apps', 'etcd-k8s-master'),
        other(2, 'kube-system', 'etcd-0'),
        other(3, 'vc', 'vc-etcd-0'),
      );
      const { exit, lastError } = await save();
      expect([exit, lastError]).toEqual([0, '']);
    });

    test('are not asked either while etcd itself does not run', async () => {
      others(other(1, 'apps', 'etcd-k8s-master'), other(2, 'kube-system', 'etcd-k8s-master2'));
      bench.node.faults.set('etcd-down', {});
      const { exit, lastError } = await save();
      expect(exit).toBe(1);
      expect(lastError).toContain(
        "etcd's container is not running: no container etcd of the pod kube-system/etcd-k8s-master;",
      );
      expect(bench.node.history.some(({ args }) => args.includes('exec'))).toBe(false);
    });

    test('several that say they are this one are named, and none is asked', async () => {
      others(other(1, 'kube-system', 'etcd-k8s-master'));
      const { exit, lastError } = await save();
      expect(exit).toBe(1);
      expect(lastError).toMatch(
        /several containers are etcd of the pod kube-system\/etcd-k8s-master: 1{64} 3f2a9c0d\w+; see crictl ps/,
      );
      expect(bench.node.history.some(({ args }) => args.includes('exec'))).toBe(false);
    });

    test('the name of the node is the given one, or that of its kubelet', async () => {
      writeFileSync(join(bench.node.paths.bin, 'etcdctl'), '#!/bin/bash\nexit 9\n', { mode: 0o755 });
      const asked = () =>
        bench.node.history
          .filter(({ args }) => args[0] === 'ps')
          .map(({ args }) => args.at(-2)?.split('=').at(-1));
      await bench.run('snapshot_etcd.sh', '--verify', '/none', '--node', 'one.example');
      const file = '/var/lib/kubelet/kubeadm-flags.env';
      bench.node.write(file, 'KUBELET_KUBEADM_ARGS="--hostname-override=Two --node-ip=10.0.0.1"\n');
      await bench.run('snapshot_etcd.sh', '--verify', '/none');
      bench.node.write('/etc/default/kubelet', "KUBELET_EXTRA_ARGS='--v=2 --hostname-override three'\n");
      await bench.run('snapshot_etcd.sh', '--verify', '/none');
      expect(asked()).toEqual(['etcd-one.example', 'etcd-two', 'etcd-three']);
    });
  });

  test('leaves no file with a final name when it is killed, and the next run cleans up', async () => {
    bench.node.faults.set('etcd-slow', { seconds: 30 });
    const running = bench.begin('snapshot_etcd.sh', '--save', directory, '--release', '1.34.5');
    await expect.poll(inData).toEqual(['k8s-upgrade-snapshot.db.part']);
    running.kill('SIGKILL');
    await running.ended;
    expect(saved()).toEqual([]);
    bench.node.faults.clear('etcd-slow');
    expect((await save()).exit).toBe(0);
    expect(inData()).toEqual([]);
    expect(saved()).toHaveLength(2);
  });

  test('refuses a directory on a missing mount', async () => {
    const { exit, lastError } = await bench.run(
      'snapshot_etcd.sh',
      '--save',
      '/mnt/nfs/etcd',
      '--release',
      '1.34.5',
    );
    expect(exit).toBe(1);
    expect(lastError).toBe('error: --save: /mnt/nfs does not exist; is it mounted?');
  });

  test('reports that etcd is down or external', async () => {
    bench.node.faults.set('etcd-down', {});
    expect((await save()).lastError).toContain("etcd's container is not running");
    rmSync(onHost('/etc/kubernetes/manifests/etcd.yaml'));
    expect((await save()).lastError).toContain('with an external etcd take the snapshot there');
  });

  test('reports that crictl is missing, which kubeadm no longer installs', async () => {
    rmSync(join(bench.node.paths.bin, 'crictl'));
    expect((await save()).lastError).toContain('crictl is missing on this node');
  });

  test("uses the host's own etcdctl only while etcd does not run, with API v3", async () => {
    const calls = join(bench.directory, 'host-etcdctl');
    // An etcdctl before 3.5, which reads snapshots itself; since then etcdutl does.
    writeFileSync(
      join(bench.node.paths.bin, 'etcdctl'),
      `#!/bin/bash\necho "$ETCDCTL_API $1 $2" >>${calls}\nexec "$LAB_STUBS/container/etcdutl" "$@"\n`,
      { mode: 0o755 },
    );
    const { path } = (await save()).result as Result;
    expect(existsSync(calls)).toBe(false);
    bench.node.faults.set('etcd-down', {});
    expect((await verify(path)).exit).toBe(0);
    expect(readFileSync(calls, 'utf8')).toBe('3 snapshot status\n');
  });

  test('removes only its own older snapshots, and keeps the newest', async () => {
    mkdirSync(onHost(directory));
    const before = [1700000001, 1700000003, 1700000002].map((n) => `k8s-upgrade-pre-1.33.${n % 10}-${n}.db`);
    const others = [
      'k8s-upgrade-pre-1.33.1-1700000000.db.bak',
      'k8s-upgrade-pre-mine.db',
      'nightly-1700000000.db',
    ];
    const sums = before.map((name) => `${name}.sha256`);
    for (const name of [...before, ...sums, ...others]) writeFileSync(onHost(`${directory}/${name}`), name);
    const { exit, result } = await bench.run(
      'snapshot_etcd.sh',
      ...['--save', directory, '--release', '1.34.5', '--keep', '2'],
    );
    expect(exit).toBe(0);
    const kept = [(result as Result).path.split('/').at(-1) ?? '', 'k8s-upgrade-pre-1.33.3-1700000003.db'];
    expect(saved().sort()).toEqual([...kept, ...kept.map((name) => `${name}.sha256`), ...others].sort());
  });

  test('writes nothing in a dry run', async () => {
    const { exit, stdout } = await bench.run(
      'snapshot_etcd.sh',
      '--save',
      directory,
      '--release',
      '1.34.5',
      '--dry-run',
    );
    expect(exit).toBe(0);
    expect(stdout).toMatch(
      /^WOULD: save an etcd snapshot to \/mnt\/main\/etcd-backup\/k8s-upgrade-pre-1\.34\.5-\d+\.db$/m,
    );
    expect(existsSync(onHost(directory))).toBe(false);
  });
});

describe('bad input of snapshot_etcd.sh', () => {
  shared();

  test.each([
    [['--release', '1.34.5'], 'expected --save DIRECTORY or --verify PATH'],
    [['--save', '/mnt/main'], '--release: expected a release'],
    [['--save', 'relative', '--release', '1.34.5'], '--save: "relative" is not allowed'],
    [
      ['--save', '/mnt/../etc', '--release', '1.34.5'],
      '--save: "/mnt/../etc" is not allowed; expected a path without',
    ],
    [['--save', '/mnt/$(id)', '--release', '1.34.5'], '--save: "/mnt/$(id)" is not allowed'],
    [['--save', '/mnt/main', '--release', '1.34.5', '--keep', '0'], '--keep: "0" is not allowed'],
    [['--save', '/mnt/main', '--release', '1.34.5', '--node', 'a b'], '--node: "a b" is not allowed'],
    [['--save', '/mnt/main', '--verify', '/x', '--release', '1.34.5'], '--verify: expected one of'],
  ])('refuses %j', async (args, message) => {
    const { exit, lastError } = await bench.run('snapshot_etcd.sh', ...args);
    expect(lastError).toContain(`error: ${message}`);
    expect(exit).toBe(2);
  });
});
