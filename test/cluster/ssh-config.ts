import { join } from 'node:path';
import { LabNode } from '../lab/nodes/node.ts';
import type { KubeadmCluster } from './cluster.ts';
import { write } from './files.ts';

/** Writes what `ssh` needs for the nodes of a cluster. Resolves with the path for `ssh -F`. */
export async function writeSshConfig(
  { nodes, sshKey }: Pick<KubeadmCluster, 'nodes' | 'sshKey'>,
  directory: string,
): Promise<string> {
  const file = async (name: string, text: string) => {
    await write(directory, name, text, 0o600);
    return join(directory, name);
  };
  const key = await file('ssh_key', sshKey.text);
  const known = await file(
    'known_hosts',
    nodes.map(({ address, hostKey }) => `${address} ${hostKey}\n`).join(''),
  );
  const hosts = nodes.map(({ name, address }) => `Host ${name}\n  HostName ${address}\n`).join('');
  const all = `Host *\n  User ${LabNode.user}\n  IdentityFile ${key}\n  UserKnownHostsFile ${known}\n`;
  return file('ssh_config', hosts + all);
}
