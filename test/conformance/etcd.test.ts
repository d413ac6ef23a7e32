import { appendFile, readFile, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { EtcdNode } from './etcd-node.ts';

/** Runs snapshot_etcd.sh with etcd, etcdctl and etcdutl of the version that the target's kubeadm deploys. */
describe('a snapshot of a real etcd 3.6', () => {
  let node: EtcdNode;
  beforeAll(async () => {
    node = await EtcdNode.start();
    await node.fill(100);
  });
  afterAll(() => node?.stop());

  /** Saves a snapshot. Returns the script's result and the path of the file. */
  const save = async () => {
    const { exitCode, output } = await node.script('--save', '/backup', '--release', '1.34.5');
    expect(exitCode, output).toBe(0);
    const result = JSON.parse(/^result: (.*)$/m.exec(output)?.[1] ?? '{}');
    return { result, file: join(node.root, result.path) };
  };

  it('is saved, verified and restored by etcdutl with every key, revision and version', async () => {
    const before = await node.keys();
    const { result, file } = await save();
    expect(result.path).toMatch(/^\/backup\/k8s-upgrade-pre-1\.34\.5-\d+\.db$/);
    expect(result.revision).toBe(before.revision);
    expect(result.totalKey).toBe(before.keys.length);
    expect(await readFile(`${file}.sha256`, 'utf8')).toContain(result.sha256);
    expect(node.calls.filter((call) => / snapshot /.test(call)).map((call) => call.split(' ')[0])).toEqual([
      'etcdctl',
      'etcdutl',
    ]);
    const verified = await node.script('--verify', result.path);
    expect(verified, verified.output).toMatchObject({ exitCode: 0 });
    // Changes the running etcd, so that reading it instead of the snapshot fails the test.
    await node.fill(1);
    const restored = await node.restored(file);
    expect(restored.keys.length).toBeGreaterThan(80);
    expect(restored).toEqual(before);
  });

  it('is refused when it is truncated or has changed', async () => {
    const { result, file } = await save();
    await appendFile(file, 'x');
    const changed = await node.script('--verify', result.path);
    expect(changed.exitCode).toBe(1);
    expect(changed.output).toMatch(/^error: .* has changed since it was saved/m);
    await truncate(file, 4096);
    await writeFile(`${file}.sha256`, `${await node.sha256(file)}  torn\n`);
    const torn = await node.script('--verify', result.path);
    expect(torn.exitCode).toBe(1);
    expect(torn.output).toMatch(/^error: etcd cannot read the snapshot/m);
  });
});
