import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { codeBlocks, readDocument, root } from './markdown.ts';

it('the main.ts without Vault and agent service synthesizes, and needs neither', () => {
  const [example = ''] = codeBlocks(readDocument('docs/install.md'), 'ts');
  const [file, output] = [join(root, '.cache/install.ts'), mkdtempSync(join(tmpdir(), 'synthesis-'))];
  mkdirSync(join(root, '.cache'), { recursive: true });
  writeFileSync(file, example.replaceAll("'./constructs/", "'../constructs/"));
  try {
    const { PG_CONN_STR: _, ...env } = process.env;
    const { status, stderr } = spawnSync(process.execPath, ['--import', 'tsx', file], {
      cwd: root,
      encoding: 'utf8',
      env: { ...env, CDKTF_OUTDIR: output, CHECKPOINT_DISABLE: '1' },
    });
    expect(status, stderr).toBe(0);
    const stack = join(output, 'stacks/k8s-version-upgrade/cdk.tf.json');
    const { resource, provider, terraform } = JSON.parse(readFileSync(stack, 'utf8'));
    expect(Object.keys(provider)).toEqual(['kubernetes']);
    expect(Object.keys(terraform.backend)).toEqual(['local']);
    const kinds = Object.values<{ manifest: { kind: string } }>(resource.kubernetes_manifest).map(
      ({ manifest }) => manifest.kind,
    );
    expect(kinds).toContain('PrometheusRule');
    expect(kinds).not.toContain('ExternalSecret');
  } finally {
    rmSync(file);
    rmSync(output, { recursive: true });
  }
});
