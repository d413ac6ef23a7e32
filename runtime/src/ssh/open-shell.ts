import { utils } from 'ssh2';
import type { KubernetesClient } from '../cluster/client.ts';
import { InputError } from '../errors.ts';
import { readSecret } from '../secret-file.ts';
import type { Settings } from '../settings/settings.ts';
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

/** Checked here: at the node, a key that cannot be used looks like a node that cannot be reached. Its text is in no error. */
function readKey(file: string): Buffer {
  const field = 'ssh.privateKeyFile';
  // Keys end with a line feed, and secrets are read without one.
  const key = Buffer.from(`${readSecret(field, file)}\n`);
  const parsed = utils.parseKey(key);
  if (!(parsed instanceof Error) && parsed.isPrivateKey()) return key;
  throw new InputError(
    field,
    file,
    'a file with a private key, in the format of OpenSSH or PEM, without a passphrase',
  );
}
