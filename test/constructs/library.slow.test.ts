import { spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('../..', import.meta.url));
const modules = join(root, 'node_modules');

/** Another project's app, in TypeScript, as its author would write it. */
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
// @ts-expect-error a mode that is none does not compile
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
  const env = { ...process.env, CHECKPOINT_DISABLE: '1', npm_config_offline: 'true' };
  const { status, stdout, stderr } = spawnSync(command, args, { cwd, encoding: 'utf8', env });
  if (status !== 0) throw new Error(`${command} ${args.join(' ')}\n${stdout}${stderr}`);
  return stdout;
}

/** A project with the packed library unpacked and its dependencies linked, as npm would have placed them. */
function project(name: string, cdktf: string): string {
  const where = join(directory, name);
  const installed = join(where, 'node_modules');
  mkdirSync(join(installed, 'k8s-version-upgrade'), { recursive: true });
  run('tar', ['xzf', tarball, '--strip-components=1', '-C', join(installed, 'k8s-version-upgrade')], where);
  const manifest = JSON.parse(readFileSync(join(installed, 'k8s-version-upgrade/package.json'), 'utf8'));
  const needed = Object.keys({ ...manifest.dependencies, ...manifest.peerDependencies });
  for (const dependency of new Set([...needed, '@types/node'])) {
    mkdirSync(dirname(join(installed, dependency)), { recursive: true });
    symlinkSync(dependency === 'cdktf' ? cdktf : join(modules, dependency), join(installed, dependency));
  }
  writeFileSync(join(where, 'package.json'), JSON.stringify({ type: 'module' }));
  writeFileSync(join(where, 'main.ts'), consumer);
  writeFileSync(join(where, 'tsconfig.json'), JSON.stringify({ compilerOptions, include: ['main.ts'] }));
  return where;
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

describe('another app with the packed library', () => {
  it('compiles against its types and synthesizes, with plain Node.js', () => {
    const where = project('theirs', join(modules, 'cdktf'));
    run(process.execPath, [join(modules, 'typescript/bin/tsc'), '-p', where], where);
    run(process.execPath, ['out/main.js'], where);
    expect(Object.keys(synthesized(where).resource).sort()).toEqual(everything);
  });

  it('finds the library and nothing of its workshop in the package', () => {
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

  const cdktn = join(modules, 'cdktn');
  if (!existsSync(cdktn))
    console.log('test/constructs: cdktn is not installed, it is not tried in cdktf’s place');

  it.skipIf(!existsSync(cdktn))('synthesizes the same with cdktn in cdktf’s place', () => {
    const [ours, theirs] = [project('with-cdktf', join(modules, 'cdktf')), project('with-cdktn', cdktn)];
    run(process.execPath, [join(modules, 'typescript/bin/tsc'), '-p', ours], ours);
    for (const where of [ours, theirs]) {
      // Links are not resolved, so that the providers, too, find the one cdktf of this project.
      const compiled = readFileSync(join(ours, 'out/main.js'), 'utf8');
      writeFileSync(join(where, 'main.js'), compiled);
      run(process.execPath, ['--preserve-symlinks', '--preserve-symlinks-main', 'main.js'], where);
    }
    expect(synthesized(theirs).resource).toEqual(synthesized(ours).resource);
    const { version } = JSON.parse(readFileSync(join(cdktn, 'package.json'), 'utf8'));
    expect(synthesized(theirs)['//'].metadata.version).toBe(version);
  });
});

function synthesized(where: string): { resource: object; '//': { metadata: { version: string } } } {
  return JSON.parse(readFileSync(join(where, 'cdktf.out/stacks/theirs/cdk.tf.json'), 'utf8'));
}
