import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('..', import.meta.url));
const tsc = join(root, 'node_modules/typescript/bin/tsc');
const { devDependencies: versions } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));

/** The TypeScript app of another project, as its author would write it. */
const consumer = `
import { KubernetesProvider } from '@cdktf/provider-kubernetes/lib/provider/index.js';
import { VaultProvider } from '@cdktf/provider-vault/lib/provider/index.js';
import { App, TerraformStack } from 'cdktf';
import { UpgradePipeline, type UpgradePipelineProps } from 'k8s-version-upgrade';

const props: UpgradePipelineProps = {
  image: 'registry.example/k8s-version-upgrade:0.1.0',
  settings: {
    nodes: { controlPlane: ['cp-1'], workers: ['w-2', 'w-1'] },
    prometheus: { url: 'http://prometheus.observability' },
    pushgateway: { url: 'http://pushgateway.observability:9091' },
    dispatch: { mode: 'job' },
  },
  alerts: { runbook: 'https://docs.example/upgrades.md' },
};
// @ts-expect-error an unknown mode does not compile
props.settings.dispatch = { mode: 'jobs' };
props.settings.dispatch = { mode: 'job' };

const app = new App();
const stack = new TerraformStack(app, 'theirs');
new KubernetesProvider(stack, 'kubernetes');
new VaultProvider(stack, 'vault');
const pipeline: UpgradePipeline = new UpgradePipeline(stack, 'upgrades', props);
if (pipeline.settings.timing.soak !== 600_000) throw new Error('the settings are not what the runtime reads');
app.synth();
`;

const compilerOptions = {
  target: 'ES2023',
  module: 'nodenext',
  moduleResolution: 'nodenext',
  strict: true,
  skipLibCheck: false,
  types: ['node'],
  outDir: 'out',
};

let directory = '';
function run(command: string, args: string[], cwd: string): string {
  const env = { ...process.env, CHECKPOINT_DISABLE: '1' };
  const { status, stdout, stderr } = spawnSync(command, args, { cwd, encoding: 'utf8', env });
  if (status !== 0) throw new Error(`${command} ${args.join(' ')}\n${stdout}${stderr}`);
  return stdout;
}

const flags = ['--ignore-scripts', '--no-audit', '--no-fund', '--prefer-offline'];

/** Installs the packed library into a new project, compiles the consumer's app there and synthesizes it. */
function project(name: string, cdktf: { version: string; overrides?: object }): Synthesis {
  const where = join(directory, name);
  mkdirSync(where);
  const others = ['@cdktf/provider-kubernetes', '@cdktf/provider-vault', '@types/node', 'constructs'];
  const dependencies = {
    ...Object.fromEntries(others.map((dependency) => [dependency, versions[dependency]])),
    cdktf: cdktf.version,
    'k8s-version-upgrade': `file:${tarball}`,
  };
  const manifest = { type: 'module', private: true, dependencies, overrides: cdktf.overrides };
  writeFileSync(join(where, 'package.json'), JSON.stringify(manifest));
  writeFileSync(join(where, 'main.ts'), consumer);
  writeFileSync(join(where, 'tsconfig.json'), JSON.stringify({ compilerOptions, include: ['main.ts'] }));
  run('npm', ['install', ...flags], where);
  run(process.execPath, [tsc, '-p', where], where);
  run(process.execPath, ['out/main.js'], where);
  return JSON.parse(readFileSync(join(where, 'cdktf.out/stacks/theirs/cdk.tf.json'), 'utf8'));
}

interface Synthesis {
  readonly resource: object;
  readonly '//': { readonly metadata: { readonly version: string } };
}

let tarball = '';
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'library-'));
  const [packed] = JSON.parse(
    run('npm', ['pack', '--json', '--silent', '--pack-destination', directory], root),
  );
  tarball = join(directory, packed.filename);
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const everything = [
  'kubernetes_cluster_role_binding_v1',
  'kubernetes_cluster_role_v1',
  'kubernetes_config_map_v1',
  'kubernetes_cron_job_v1',
  'kubernetes_manifest',
  'kubernetes_namespace_v1',
  'kubernetes_network_policy_v1',
  'kubernetes_priority_class_v1',
  'kubernetes_role_binding_v1',
  'kubernetes_role_v1',
  'kubernetes_service_account_v1',
  'vault_policy',
];

describe('another app with the packed library installed by npm', () => {
  let theirs: Synthesis;
  it('compiles against its types and synthesizes, with plain Node.js', () => {
    theirs = project('theirs', { version: versions.cdktf });
    expect(Object.keys(theirs.resource).sort()).toEqual(everything);
    expect(theirs['//'].metadata.version).toBe(versions.cdktf);
  });

  it('synthesizes the same with cdktn instead of cdktf, by an alias that the providers share', () => {
    const version = `npm:cdktn@${versions.cdktn}`;
    const other = project('with-cdktn', { version, overrides: { cdktf: '$cdktf' } });
    expect(other.resource).toEqual(theirs.resource);
    expect(other['//'].metadata.version).toBe(versions.cdktn);
  });

  it('gets the library in the package, and no tests or tools', () => {
    const files = run('tar', ['tzf', tarball], directory).trim().split('\n');
    const unexpected = files.filter(
      (f) =>
        !/^package\/(dist\/(constructs|alerts|runtime\/src)\/|package\.json$|LICENSE$|README\.md$|CHANGELOG\.md$)/.test(
          f,
        ),
    );
    expect(unexpected).toEqual([]);
    expect(files).toContain('package/dist/constructs/index.d.ts');
  });
});
