import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { parse, stringify } from 'yaml';
import type { SettingsInput } from '../../runtime/src/settings.ts';
import { type CliResult, Lab } from '../lab/lab.ts';
import { changesByPrograms } from './observe.ts';

/** Bad input ends with exit code 2, an error that names the field and what is allowed, and nothing touched. */

let lab: Lab;
beforeAll(async () => {
  lab = await Lab.start({ published: ['1.34.2', '1.34.5', '1.35.3'] });
});
afterAll(() => lab.stop());
afterEach(() => {
  lab.prometheus.faults = {};
  lab.packages.faults = {};
  lab.packages.cdn.nonsense = undefined;
  lab.api.faults.clear();
});

const requests: [title: string, args: string[], field: string, allowed: string][] = [
  ['a leading v', ['--target-version', 'v1.34.5', '--kind', 'patch'], 'target_version', 'X.Y.Z'],
  ['no patch number', ['--target-version', '1.35', '--kind', 'minor'], 'target_version', 'X.Y.Z'],
  ['a pre-release', ['--target-version', '1.35.0-rc.1', '--kind', 'minor'], 'target_version', 'X.Y.Z'],
  [
    'a shell metacharacter',
    ['--target-version', '1.34.5;reboot', '--kind', 'patch'],
    'target_version',
    'X.Y.Z',
  ],
  [
    'older than the cluster',
    ['--target-version', '1.34.1', '--kind', 'patch'],
    'target_version',
    'not older',
  ],
  ['two minors ahead', ['--target-version', '1.36.1', '--kind', 'minor'], 'target_version', '1.34 or 1.35'],
  ['a kind that contradicts the target', ['--target-version', '1.34.5', '--kind', 'minor'], 'kind', 'patch'],
  ['an unknown kind', ['--target-version', '1.34.5', '--kind', 'major'], '--kind', 'patch or minor'],
  [
    'an unknown stage',
    ['--target-version', '1.34.5', '--kind', 'patch', '--stages', 'preflight,drain'],
    'stages',
    'preflight, snapshot',
  ],
  ['inputs that are no JSON', ['--inputs', '{target'], '--inputs', 'JSON'],
  [
    'an unknown key in the inputs',
    ['--inputs', '{"target_version":"1.34.5","kind":"patch","force":true}'],
    '--inputs',
    '"force"',
  ],
  ['no target', ['--kind', 'patch'], '--target-version', 'X.Y.Z'],
  [
    'a flag beside the inputs',
    ['--inputs', '{"target_version":"1.34.5","kind":"patch"}', '--dry-run'],
    '--dry-run',
    'either --inputs or flags',
  ],
  [
    'an empty list of stages',
    ['--target-version', '1.34.5', '--kind', 'patch', '--stages', ''],
    'stages',
    'preflight, snapshot',
  ],
];

describe('requests', () => {
  it.each(requests)('run: %s', async (_title, args, field, allowed) => {
    expectRefused(await lab.cli(['run', ...args]), field, allowed);
  });

  // The same code reads them; what differs is the check against the cluster.
  it.each(requests.filter(([title]) => title.includes('cluster') || title.includes('kind')))(
    'submit: %s',
    async (_title, args, field, allowed) => {
      expectRefused(await lab.cli(['submit', ...args]), field, allowed);
    },
  );
});

describe('plan', () => {
  it.each([
    ['a kind without a target', ['--kind', 'minor'], '--target-version'],
    ['stages without a target', ['--stages', 'nonsense'], '--target-version'],
    ['an unknown stage', ['--target-version', '1.34.5', '--kind', 'patch', '--stages', 'nonsense'], 'stages'],
    ['--dry-run, which it is anyway', ['--dry-run'], '--dry-run'],
  ])('%s', async (_title, args, field) => {
    expectRefused(await lab.cli(['plan', ...args]), field, '');
  });
});

const patch = ['--target-version', '1.34.5', '--kind', 'patch'];

const wrongSettings: [
  title: string,
  change: (settings: SettingsInput) => unknown,
  field: string,
  allowed: string,
][] = [
  ['an unknown key', (s) => ({ ...s, soak: '1m' }), '"soak"', 'unknown'],
  ['a duration that does not parse', (s) => ({ ...s, timing: { soak: '10x' } }), 'timing.soak', '10m'],
  ['a node listed twice', (s) => ({ ...s, nodes: { workers: ['a', 'a'] } }), 'nodes.workers', 'once'],
  [
    'a missing key file',
    (s) => ({ ...s, ssh: { ...s.ssh, privateKeyFile: '/nowhere/key' } }),
    'ssh.privateKeyFile',
    'ENOENT',
  ],
  [
    'a missing webhook file',
    (s) => ({ ...s, slack: { webhookFile: '/nowhere/hook' } }),
    'slack.webhookFile',
    'ENOENT',
  ],
  [
    'a directory for a key file',
    (s) => ({ ...s, ssh: { ...s.ssh, privateKeyFile: '/tmp' } }),
    'ssh.privateKeyFile',
    'EISDIR',
  ],
];

describe('settings', () => {
  it.each(wrongSettings)('%s', async (_title, change, field, allowed) => {
    const settings = parse(readFileSync(lab.settingsFile, 'utf8')) as SettingsInput;
    const file = join(lab.dir, 'wrong.yaml');
    await writeFile(file, stringify(change(settings)));
    expectRefused(await lab.cli(['run', ...patch, '--settings', file]), field, allowed);
  });

  it('a file that is not there', async () => {
    expectRefused(
      await lab.cli(['run', ...patch, '--settings', '/nowhere.yaml']),
      '--settings',
      'YAML or JSON',
    );
  });
});

const nonsense: [title: string, body: string][] = [
  ['HTML', '<!DOCTYPE html><title>Sign in</title>'],
  ['an empty answer', ''],
  ['JSON that is cut off', '{"status":"success","data":{"groups":['],
  ['JSON of something else', '{"hello":"world"}'],
];

describe('Prometheus', () => {
  it.each(nonsense)('%s', async (_title, body) => {
    lab.prometheus.faults = { body };
    expectRefused(await lab.cli(['run', ...patch]), 'prometheus.url', 'Prometheus');
  });

  it('a redirect loop', async () => {
    lab.prometheus.faults = { redirectLoop: true };
    expectRefused(await lab.cli(['run', ...patch]), 'prometheus.url', 'redirect');
  });
});

describe('the package repository (F12)', () => {
  it.each(['html', 'empty', 'truncated'] as const)('%s', async (kind) => {
    lab.packages.cdn.nonsense = kind;
    expectRefused(await lab.cli(['detect']), 'packages.repository', 'Packages file');
  });

  it('a redirect loop', async () => {
    lab.packages.faults = { redirectLoop: true };
    expectRefused(await lab.cli(['detect']), 'packages.repository', 'redirect');
  });
});

describe('the API server', () => {
  it.each(nonsense.slice(0, 3))('%s', async (_title, body) => {
    lab.prometheus.faults = { body };
    const kubeconfig = join(lab.dir, 'elsewhere');
    await writeFile(
      kubeconfig,
      readFileSync(await lab.kubeconfig(), 'utf8').replace(lab.api.url, lab.prometheus.url),
    );
    const result = await lab.cli(['run', ...patch, '--kubeconfig', kubeconfig]);
    expectRefused(result, `API server ${lab.prometheus.url}`, 'Kubernetes');
  });

  it('a node without an InternalIP', async () => {
    const addresses = lab.api.store.get('nodes', undefined, 'k8s-node2')?.status?.addresses;
    const setAddresses = (list: typeof addresses) =>
      lab.api.store.modify('nodes', undefined, 'k8s-node2', (node) => {
        node.status = { ...node.status, ...(list && { addresses: list }) };
      });
    setAddresses([{ type: 'Hostname', address: 'k8s-node2' }]);
    const result = await lab.cli(['run', ...patch]);
    setAddresses(addresses);
    expectRefused(result, 'node k8s-node2 status.addresses', 'InternalIP');
  });
});

function expectRefused({ exitCode, stderr }: CliResult, field: string, allowed: string): void {
  expect(stderr).toContain(field);
  expect(stderr).toContain(allowed);
  expect(exitCode).toBe(2);
  const writes = lab.api.requests.all.filter(
    (r) => r.user !== 'system:apiserver' && !['get', 'list', 'watch'].includes(r.verb),
  );
  expect(writes.map((r) => `${r.verb} ${r.resource}/${r.name}`)).toEqual([]);
  expect(changesByPrograms(lab)).toEqual([]);
}
