import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { LabNode } from '../../../test/lab/nodes/node.ts';
import { generateKeyPair } from '../../../test/lab/nodes/ssh.ts';
import { PackageRepository } from '../../../test/lab/services/packages.ts';
import type { HostKeys } from '../ssh/host-keys.ts';
import { type ShellOptions, SshNodeShell } from '../ssh/node-shell.ts';
import type { SshTarget } from '../ssh/session.ts';

const pair = generateKeyPair();

/**
 * Starts a worker at 1.34.2, reachable over SSH, whose repository has 1.34.5. It stops when the test ends.
 */
export async function startNode(): Promise<{ node: LabNode; target: SshTarget }> {
  const directory = mkdtempSync(join(tmpdir(), 'k8s-upgrade-node-'));
  const repository = await new PackageRepository().start();
  for (const release of ['1.34.2', '1.34.5']) repository.publish(release);
  const node = await LabNode.start({
    dir: join(directory, 'k8s-node1'),
    name: 'k8s-node1',
    role: 'worker',
    address: '127.0.0.1',
    port: 0,
    release: '1.34.2',
    containerd: '1.7.27',
    authorizedKey: pair.publicKey,
    packages: repository.base,
  });
  onTestFinished(async () => {
    await node.stop();
    await repository.stop();
    rmSync(directory, { recursive: true, force: true });
  });
  return { node, target: { name: node.name, address: node.address } };
}

/** Host keys by node. Any other key is refused, and asking for its acceptance fails the test. */
export const pinned = (known: Record<string, string>): HostKeys => ({
  known: (node) => known[node],
  accept: async () => {
    throw new Error('no new host key expected');
  },
});

/** A shell to the node, its options, and the lines and notices that it has received. */
export function shellOptions(node: LabNode, change: Partial<ShellOptions> = {}) {
  const received = { lines: [] as string[], notices: [] as string[] };
  const options: ShellOptions = {
    user: LabNode.user,
    port: node.port,
    privateKey: Buffer.from(pair.privateKey),
    hostKeys: pinned({ [node.name]: node.hostKey }),
    connectTimeout: 2_000,
    reconnectTimeout: 5_000,
    signal: new AbortController().signal,
    onLine: (_node, _script, line) => received.lines.push(line),
    onNotice: (notice) => received.notices.push(notice),
    mayWrite: async () => {},
    ...change,
  };
  return { options, received, shell: new SshNodeShell(options) };
}
