import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('.', import.meta.url));
const outputs: string[] = [];
afterAll(() => {
  for (const directory of outputs) rmSync(directory, { recursive: true, force: true });
});

/** Runs the app with the command in cdktf.json, as `scripts/tg` and cdktf's CLI do. */
function synthesize(env: Record<string, string> = {}): string {
  const output = mkdtempSync(join(tmpdir(), 'synthesis-'));
  outputs.push(output);
  const { app } = JSON.parse(readFileSync(join(root, 'cdktf.json'), 'utf8'));
  const { PG_CONN_STR: _, ...rest } = process.env;
  const { status, stderr } = spawnSync('bash', ['-c', app], {
    cwd: root,
    encoding: 'utf8',
    env: { ...rest, CDKTF_OUTDIR: output, CHECKPOINT_DISABLE: '1', ...env },
  });
  if (status !== 0) throw new Error(stderr);
  expect(readdirSync(join(output, 'stacks'))).toEqual(['k8s-version-upgrade']);
  return readFileSync(join(output, 'stacks/k8s-version-upgrade/cdk.tf.json'), 'utf8');
}

describe('the app', () => {
  it('synthesizes the reviewed golden file; to update it: `npx vitest run main.test.ts -u`', async () => {
    await expect(synthesize()).toMatchFileSnapshot('./test/golden/k8s-version-upgrade.tf.json');
  });

  it('keeps its state in a file of the project, by a relative path, when there is no database', () => {
    const text = synthesize();
    const { backend } = JSON.parse(text).terraform;
    expect(backend).toEqual({ local: { path: '../../../terraform.k8s-version-upgrade.tfstate' } });
    expect(text).not.toContain(root);
  });

  it('keeps its state in PostgreSQL when PG_CONN_STR is set, and writes the password nowhere', () => {
    const text = synthesize({ PG_CONN_STR: 'postgres://u:not-a-real-secret@127.0.0.1/state' });
    expect(JSON.parse(text).terraform.backend).toEqual({ pg: { schema_name: 'k8s-version-upgrade' } });
    expect(text).not.toContain('not-a-real-secret');
  });
});
