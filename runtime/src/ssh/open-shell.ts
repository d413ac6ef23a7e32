import { utils } from 'ssh2';
import type { KubernetesClient } from '../cluster/client.ts';
import { InputError } from '../errors.ts';
import { readSecret } from '../secret-file.ts';
import type { Settings } from '../settings/settings.ts';
import { loadHostKeys } from './host-keys.ts';
import { type ShellOptions, SshNodeShell } from './node-shell.ts';

/** The options of the shell that differ between the programs. */
export type ShellHooks = Pick<ShellOptions, 'signal' | 'onLine' | 'onNotice' | 'mayWrite'> & {
  /** Accepts a new host key without remembering it. */
  readonly readOnly: boolean;
};

/**
 * Creates the shell that the settings describe, without connecting to any node.
 *
 * @throws InputError when the key file cannot be read or holds no private key.
 */
export async function openNodeShell(
  client: KubernetesClient,
  settings: Settings,
  { readOnly, ...hooks }: ShellHooks,
): Promise<SshNodeShell> {
  const { user, port, connectTimeout, reconnectTimeout, privateKeyFile } = settings.ssh;
  const privateKey = readKey(privateKeyFile);
  const hostKeys = await loadHostKeys(client, settings, readOnly);
  return new SshNodeShell({ user, port, privateKey, connectTimeout, reconnectTimeout, hostKeys, ...hooks });
}

/**
 * Reads and checks the private key: connecting with an unusable key would look like an unreachable node. No
 * error contains the key.
 */
function readKey(file: string): Buffer {
  const field = 'ssh.privateKeyFile';
  // Keys must end with a line feed, which readSecret trims.
  const key = Buffer.from(`${readSecret(field, file)}\n`);
  const parsed = utils.parseKey(key);
  if (!(parsed instanceof Error) && parsed.isPrivateKey()) return key;
  throw new InputError(
    field,
    file,
    'a file with a private key, in the format of OpenSSH or PEM, without a passphrase',
  );
}
