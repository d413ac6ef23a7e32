import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import type { RequestListener } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { parse, stringify } from 'yaml';
import type { SettingsInput } from '../../runtime/src/settings/settings.ts';
import { issueServerIdentity } from '../lab/api/auth/pki.ts';
import type { AnyLab, CliResult } from '../lab/lab.ts';
import { changesByPrograms } from './observe.ts';
import { startLab } from './start-lab.ts';

/**
 * Bad input ends with exit code 2, an error that names the field and what is allowed, and nothing changed.
 */

let lab: AnyLab;
beforeAll(async () => {
  lab = await startLab({ published: ['1.34.2', '1.34.5', '1.35.3'] });
});
afterAll(() => lab.stop());
afterEach(() => {
  lab.prometheus.faults = {};
  lab.packages.faults = {};
  lab.packages.cdn.nonsense = undefined;
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
    await expectRefused(await lab.cli(['run', ...args]), field, allowed);
  });

  // The same code reads them; what differs is the check against the cluster.
  it.each(requests.filter(([title]) => title.includes('cluster') || title.includes('kind')))(
    'submit: %s',
    async (_title, args, field, allowed) => {
      await expectRefused(await lab.cli(['submit', ...args]), field, allowed);
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
    await expectRefused(await lab.cli(['plan', ...args]), field, '');
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
  [
    'an unknown key further in',
    (s) => ({ ...s, timing: { ...s.timing, soaks: '1m' } }),
    'timing: unknown "soaks"',
    'soak, ',
  ],
  [
    'a duration without quotes and unit',
    (s) => ({ ...s, timing: { soak: 5 } }),
    'timing.soak: given 5',
    'such as 10m',
  ],
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
  [
    'a key file without a key',
    (s) => ({ ...s, ssh: { ...s.ssh, privateKeyFile: lab.settingsFile } }),
    'ssh.privateKeyFile',
    'a private key',
  ],
];

describe('settings', () => {
  it.each(wrongSettings)('%s', async (_title, change, field, allowed) => {
    const settings = parse(readFileSync(lab.settingsFile, 'utf8')) as SettingsInput;
    const file = join(lab.dir, 'wrong.yaml');
    await writeFile(file, stringify(change(settings)));
    await expectRefused(await lab.cli(['run', ...patch, '--settings', file]), field, allowed);
  });

  it('a file that is not there', async () => {
    await expectRefused(
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
    await expectRefused(await lab.cli(['run', ...patch]), 'prometheus.url', 'Prometheus');
  });

  it('a redirect loop', async () => {
    lab.prometheus.faults = { redirectLoop: true };
    await expectRefused(await lab.cli(['run', ...patch]), 'prometheus.url', 'redirect');
  });
});

it('a missing token of the agent service ends a detection before it writes a dispatch down', async () => {
  const settings = parse(readFileSync(lab.settingsFile, 'utf8')) as SettingsInput;
  const agentService = { ...settings.dispatch?.agentService, tokenFile: '/nowhere/token' };
  const file = join(lab.dir, 'no-token.yaml');
  await writeFile(file, stringify({ ...settings, dispatch: { ...settings.dispatch, agentService } }));
  const result = await lab.cli(['detect', '--settings', file]);
  await expectRefused(result, 'dispatch.agentService.tokenFile', 'ENOENT');
  expect(lab.agentService.jobs).toEqual([]);
});

describe('the package repository (F12)', () => {
  const patch = ['--target-version', '1.34.5', '--kind', 'patch'];
  it.each(['html', 'empty', 'truncated'] as const)('%s', async (kind) => {
    for (const words of [['detect'], ['plan', ...patch], ['run', ...patch]]) {
      lab.packages.cdn.nonsense = kind;
      await expectRefused(await lab.cli(words), 'packages.repository', 'Packages file');
    }
  });

  it('a redirect loop', async () => {
    lab.packages.faults = { redirectLoop: true };
    await expectRefused(await lab.cli(['detect']), 'packages.repository', 'redirect');
  });
});

const json = { 'content-type': 'application/json' };
const html = { 'content-type': 'text/html' };
const page = '<!DOCTYPE html><title>Sign in</title>';

/** What is at the API server's address, and is none. */
const foreign: [title: string, answer: RequestListener][] = [
  ['HTML', (_, to) => to.writeHead(200, html).end(page)],
  ['HTML that says it is JSON', (_, to) => to.writeHead(200, json).end(page)],
  ['an empty answer', (_, to) => to.writeHead(200, json).end()],
  ['JSON that is cut off', (_, to) => to.writeHead(200, json).end('{"gitVersion":"v1.34.2","items":[{"me')],
  ['JSON of something else', (_, to) => to.writeHead(200, json).end('{"hello":"world"}')],
  ['an empty object', (_, to) => to.writeHead(200, json).end('{}')],
  ['null', (_, to) => to.writeHead(200, json).end('null')],
  ['not found, in HTML', (_, to) => to.writeHead(404, html).end(page)],
  ['a redirect loop', ({ url }, to) => to.writeHead(302, { location: url }).end()],
];

describe('the API server', () => {
  let asked = 0;
  let answer: RequestListener = (_, to) => to.end();
  let server: Server;
  let kubeconfig: string;
  beforeAll(async () => {
    const { keyPem: key, certPem: cert } = await issueServerIdentity();
    server = createServer({ key, cert }, (request, response) => {
      asked += 1;
      answer(request, response as never);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    kubeconfig = join(lab.dir, 'elsewhere');
    const text = readFileSync(await lab.kubeconfig(), 'utf8')
      .replace(/certificate-authority-data: .*/, 'insecure-skip-tls-verify: true')
      .replace(lab.api.url, `https://127.0.0.1:${(server.address() as AddressInfo).port}`);
    await writeFile(kubeconfig, text);
  });
  afterAll(() => {
    server.close().closeAllConnections();
  });
  beforeEach(() => {
    asked = 0;
  });

  it.each(foreign)('%s', async (_title, given) => {
    answer = given;
    const result = await lab.cli(['run', ...patch, '--kubeconfig', kubeconfig]);
    await expectRefused(result, 'API server https://127.0.0.1:', 'expected a Kubernetes API server');
    expect(asked).toBeGreaterThan(0);
  });

  it.each([['halt', '--reason', 'x'], ['resume'], ['clear'], ['status'], ['submit', ...patch]])(
    'of something else: %s says nothing of a success',
    async (...args) => {
      answer = (_, to) => to.writeHead(200, json).end('{"hello":"world"}');
      const result = await lab.cli([...args, '--kubeconfig', kubeconfig]);
      await expectRefused(result, 'API server https://127.0.0.1:', 'expected a Kubernetes API server');
      expect(result.stdout).toBe('');
      expect(asked).toBeGreaterThan(0);
    },
  );

  it('an answer that breaks off is given up', async () => {
    answer = (_, to) => {
      to.writeHead(200, { ...json, 'content-length': '5000' }).write('{"items":[');
      setTimeout(() => to.destroy(), 20);
    };
    const settings = parse(readFileSync(lab.settingsFile, 'utf8')) as SettingsInput;
    const file = join(lab.dir, 'hurried.yaml');
    await writeFile(
      file,
      stringify({ ...settings, timing: { ...settings.timing, apiRequest: '1s', apiOutage: '1s' } }),
    );
    const { exitCode, stderr } = await lab.cli(['status', '--kubeconfig', kubeconfig, '--settings', file]);
    expect(stderr).toContain('no answer from the API server');
    expect(exitCode).toBe(1);
  });

  it('that shows the certificate of somebody else is refused at once', async () => {
    const strict = join(lab.dir, 'strict');
    const text = readFileSync(kubeconfig, 'utf8').replace('insecure-skip-tls-verify: true', '');
    await writeFile(strict, text);
    const result = await lab.cli(['run', ...patch, '--kubeconfig', strict]);
    await expectRefused(result, 'API server https://127.0.0.1:', 'certificate authority');
  });

  it('a node without an InternalIP', async () => {
    const addresses = (await lab.api.get('nodes', undefined, 'k8s-node2'))?.status?.addresses;
    const setAddresses = async (list: typeof addresses) =>
      lab.api.modify('nodes', undefined, 'k8s-node2', (node) => {
        node.status = { ...node.status, ...(list && { addresses: list }) };
      });
    await setAddresses([{ type: 'Hostname', address: 'k8s-node2' }]);
    const result = await lab.cli(['run', ...patch]);
    await setAddresses(addresses);
    await expectRefused(result, 'node k8s-node2 status.addresses', 'InternalIP');
  });
});

async function expectRefused({ exitCode, stderr }: CliResult, field: string, allowed: string): Promise<void> {
  expect(stderr).toContain(field);
  expect(stderr).toContain(allowed);
  expect(exitCode).toBe(2);
  const writes = (await lab.api.requestLog()).filter(
    (r) => r.user !== 'system:apiserver' && !['get', 'list', 'watch'].includes(r.verb),
  );
  expect(writes.map((r) => `${r.verb} ${r.resource}/${r.name}`)).toEqual([]);
  expect(changesByPrograms(lab)).toEqual([]);
}
