import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { stringify } from 'yaml';
import { temporaryFile } from '../testing/files.ts';

const bundle = join(import.meta.dirname, '../../dist/k8s-upgrade.cjs');

/** A kubeconfig for a server that accepts connections and never answers. */
async function silentCluster(): Promise<string> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => void server.close());
  const { port } = server.address() as AddressInfo;
  return temporaryFile(
    stringify({
      apiVersion: 'v1',
      kind: 'Config',
      clusters: [{ name: 'c', cluster: { server: `https://127.0.0.1:${port}` } }],
      users: [{ name: 'u', user: {} }],
      contexts: [{ name: 'x', context: { cluster: 'c', user: 'u' } }],
      'current-context': 'x',
    }),
  );
}

it('reads the path of the settings from the environment', async () => {
  const env = { ...process.env, K8S_UPGRADE_SETTINGS: '/nowhere/settings.yaml' };
  const child = spawn(process.execPath, [bundle, 'status'], { env, stdio: ['ignore', 'ignore', 'pipe'] });
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text) => {
    stderr += text;
  });
  const [exit] = await once(child, 'close');
  expect(exit, stderr).toBe(2);
  expect(stderr).toContain('/nowhere/settings.yaml');
});

/** Exit codes 0 to 3 are decisions, after which the Job does not retry. */
it.each([
  ['thrown in a callback', "throw new Error('boom')"],
  ['an unhandled rejection', "Promise.reject(new Error('boom'))"],
])('an uncaught error is a crash: %s', async (_what, code) => {
  const url = 'http://127.0.0.1:9';
  const settings = temporaryFile(stringify({ prometheus: { url }, pushgateway: { url } }));
  const preload = temporaryFile(`setTimeout(() => { ${code} }, 500)`);
  const args = ['status', '--settings', settings, '--kubeconfig', await silentCluster()];
  const child = spawn(process.execPath, ['--require', preload, bundle, ...args], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text) => {
    stderr += text;
  });
  const [exit] = await once(child, 'close');
  expect(exit, stderr).toBe(70);
  expect(stderr).toContain('Error: boom');
});

it.each([
  ['the help', '--help', 0],
  ['an error', 'status --settings /nowhere 2>&1 >/dev/null', 2],
])('is finished without a reader: %s', async (_what, args, code) => {
  const line = `exec 3>&1; "$0" "$1" ${args} | true; echo "\${PIPESTATUS[0]}" >&3`;
  const child = spawn('bash', ['-c', line, process.execPath, bundle], { stdio: ['ignore', 'pipe', 'pipe'] });
  const output = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const)
    child[name].setEncoding('utf8').on('data', (text) => {
      output[name] += text;
    });
  await once(child, 'close');
  expect(output).toEqual({ stdout: `${code}\n`, stderr: '' });
});
