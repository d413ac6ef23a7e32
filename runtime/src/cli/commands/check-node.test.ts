import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { LabApi } from '../../../../test/lab/api/index.ts';
import { rejection } from '../../testing/files.ts';
import { checkNodeCommand } from './check-node.ts';

const resolves = vi.hoisted(() => ({ lookup: vi.fn() }));
vi.mock('node:dns/promises', () => resolves);

let directory: string;
let api: LabApi;
let caFile: string;
beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'check-node-'));
  api = await LabApi.start({ dir: join(directory, 'api'), version: '1.34.2' });
  caFile = join(directory, 'ca.crt');
  writeFileSync(caFile, api.caPem);
  resolves.lookup.mockResolvedValue({ address: '10.96.0.1', family: 4 });
  reachableAt(new URL(api.url));
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await api.stop();
  rmSync(directory, { recursive: true });
});

function reachableAt({ hostname, port }: Pick<URL, 'hostname' | 'port'>) {
  vi.stubEnv('KUBERNETES_SERVICE_HOST', hostname);
  vi.stubEnv('KUBERNETES_SERVICE_PORT', port);
}

const check = (change: { directory?: string } = {}) => checkNodeCommand({ directory, caFile, ...change });

describe('F34: the pod of a node check', () => {
  it('succeeds where everything works, and leaves nothing in the volume', async () => {
    await check();
    expect(resolves.lookup).toHaveBeenCalledWith('kubernetes.default.svc');
    expect((await api.requestLog()).map(({ path }) => path)).toContain('/version');
  });

  it.each([
    [
      'the name of the API server does not resolve',
      () => resolves.lookup.mockRejectedValue(new Error('getaddrinfo EAI_AGAIN kubernetes.default.svc')),
      {},
      'cannot resolve kubernetes.default.svc: getaddrinfo EAI_AGAIN kubernetes.default.svc',
    ],
    [
      'nothing answers at the Service',
      () => reachableAt({ hostname: '127.0.0.1', port: '9' }),
      {},
      'cannot reach the API server through its Service: connect ECONNREFUSED 127.0.0.1:9',
    ],
    [
      'the volume cannot be written',
      () => {},
      { directory: '/proc' },
      "cannot write to an ephemeral volume: ENOENT: no such file or directory, open '/proc/check-node'",
    ],
  ])('fails where %s', async (_what, breakIt, change, message) => {
    breakIt();
    expect((await rejection(check(change))).message).toBe(message);
  });

  it('fails where somebody else answers, and names everything that does not work', async () => {
    const other = await LabApi.start({ dir: join(directory, 'other'), version: '1.34.2' });
    reachableAt(new URL(other.url));
    resolves.lookup.mockRejectedValue(new Error('no name'));
    const { message } = await rejection(check());
    await other.stop();
    expect(message).toMatch(
      /^cannot resolve kubernetes\.default\.svc: no name; cannot reach the API server through its Service: .*certificate/,
    );
  });

  it('tries again what works a moment later', async () => {
    resolves.lookup.mockRejectedValueOnce(new Error('too early'));
    await check();
  });
});
