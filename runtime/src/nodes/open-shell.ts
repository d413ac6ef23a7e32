import type { KubernetesClient } from '../cluster/client.ts';
import { readSecret } from '../secret-file.ts';
import type { Settings } from '../settings.ts';
import { loadHostKeys } from './host-keys.ts';
import { type ShellOptions, SshNodeShell } from './node-shell.ts';

/** What differs between the programs that reach nodes. */
export type ShellHooks = Pick<ShellOptions, 'signal' | 'onLine' | 'onNotice' | 'mayWrite'> & {
  /** A new host key is accepted and not remembered. */
  readonly readOnly: boolean;
};

/**
 * The way to the nodes, as the settings describe it. The key is read first: nothing starts without it.
 *
 * @throws InputError when the key file cannot be read.
 */
export async function openNodeShell(
  client: KubernetesClient,
  settings: Settings,
  { readOnly, ...hooks }: ShellHooks,
): Promise<SshNodeShell> {
  const { user, port, connectTimeout, reconnectTimeout, privateKeyFile } = settings.ssh;
  // Keys end with a line feed, and secrets are read without one.
  const privateKey = Buffer.from(`${readSecret('ssh.privateKeyFile', privateKeyFile)}\n`);
  const hostKeys = await loadHostKeys(client, settings, readOnly);
  return new SshNodeShell({ user, port, privateKey, connectTimeout, reconnectTimeout, hostKeys, ...hooks });
}
