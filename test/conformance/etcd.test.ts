import { appendFile, readFile, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { EtcdNode } from './etcd-node.ts';

/** snapshot_etcd.sh with the etcd, etcdctl and etcdutl that kubeadm of the target's release brings. */
describe('a snapshot of a real etcd 3.6', () => {
  let node: EtcdNode;
  beforeAll(async () => {
    node = await EtcdNode.start();
    await node.fill(100);
  });
  afterAll(() => node?.stop());

  /** Saves one. Gives the script's result, and where the file is. */
  const save = async () => {
    const { exitCode, output } = await node.script('--save', '/backup', '--release', '1.34.5');
    expect(exitCode, output).toBe(0);
    const result = JSON.parse(/^result: (.*)$/m.exec(output)?.[1] ?? '{}');
    return { result, file: join(node.root, result.path) };
  };

  it('is saved, checked by etcdutl, and restored by etcdutl with every key, revision and version', async () => {
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
    // Whoever reads the running etcd instead would see this.
    await node.fill(1);
    const restored = await node.restored(file);
    expect(restored.keys.length).toBeGreaterThan(80);
    expect(restored).toEqual(before);
  });

  it('that is torn is refused, and so is one that changed', async () => {
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
