import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createReadStream } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { assembledScripts } from '../../runtime/node-scripts.mjs';
import { LabNode } from '../lab/nodes/node.ts';
import type { HostCluster } from './cluster.ts';
import type { Host } from './host.ts';

/**
 * Runs a node script as an operator would: `ssh NODE 'sudo -n bash -s -- ARGS' < SCRIPT`, with OpenSSH's
 * client.
 */
export async function operator(
  { lab }: HostCluster,
  host: Host,
  script: string,
  ...args: string[]
): Promise<{ exitCode: number; output: string }> {
  const known = join(lab.dir, 'known_hosts');
  await writeFile(known, `${host.address} ${host.hostKey}\n`);
  const options = [`UserKnownHostsFile=${known}`, 'StrictHostKeyChecking=yes', 'BatchMode=yes'];
  const child = spawn(
    'ssh',
    [
      ...['-F', 'none', '-i', lab.privateKeyFile, ...options.flatMap((option) => ['-o', option])],
      ...[`${LabNode.user}@${host.address}`, `sudo -n bash -s -- ${args.join(' ')}`],
    ],
    { stdio: ['pipe', 'pipe', 'pipe'] },
  );
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (output += chunk));
  createReadStream(join(assembledScripts, script)).pipe(child.stdin);
  const [exitCode] = await once(child, 'close');
  return { exitCode: exitCode ?? -1, output };
}
