import { createHash } from 'node:crypto';
import { isConflict, isNotFound } from '../cluster/api-error.ts';
import { type KubernetesClient, mergePatch } from '../cluster/client.ts';
import { UpgradeError } from '../errors.ts';
import { ownLabels } from '../labels.ts';
import { objectNames } from '../names.ts';
import type { Settings } from '../settings/settings.ts';

/** The host keys that nodes must show (F27). */
export interface HostKeys {
  /** Key of a node, `ssh-ed25519 AAAA…`; undefined when none is known. */
  known(node: string): string | undefined;
  /**
   * Accepts and remembers the key of a node that has no known key. May be called again with the same key.
   *
   * @throws UpgradeError (blocked) when unknown keys are refused.
   */
  accept(node: string, key: string): Promise<void>;
}

/**
 * Loads the host keys: those of the settings and, with `accept-new`, those remembered in the ConfigMap. The
 * settings take precedence.
 *
 * @param readOnly accepts new keys without writing them to the ConfigMap.
 */
export async function loadHostKeys(
  client: KubernetesClient,
  settings: Settings,
  readOnly: boolean,
): Promise<HostKeys> {
  const { policy, known } = settings.ssh.hostKeys;
  const { namespace } = settings;
  const remembered = policy === 'accept-new' ? await readRemembered(client, namespace) : {};
  return {
    known: (node) => known[node] ?? remembered[node],
    async accept(node, key) {
      if (policy === 'pinned') {
        throw new UpgradeError(
          'blocked',
          `node ${node} shows the host key ${fingerprint(key)}, but none is pinned for it`,
          {
            hint: `Compare it on the node (ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub), then set ssh.hostKeys.known.${node}: "${key}".`,
          },
        );
      }
      remembered[node] = key;
      if (!readOnly) await remember(client, namespace, node, key);
    },
  };
}

async function readRemembered(client: KubernetesClient, namespace: string): Promise<Record<string, string>> {
  try {
    const name = objectNames.knownHosts;
    const map = await client.call('read the remembered host keys', () =>
      client.core.readNamespacedConfigMap({ name, namespace }),
    );
    return { ...map.data };
  } catch (error) {
    if (isNotFound(error)) return {};
    throw error;
  }
}

async function remember(
  client: KubernetesClient,
  namespace: string,
  node: string,
  key: string,
): Promise<void> {
  const name = objectNames.knownHosts;
  const body = { metadata: { name, namespace, labels: ownLabels }, data: { [node]: key } };
  const patch = () =>
    client.call('remember a host key', () =>
      client.core.patchNamespacedConfigMap({ name, namespace, body }, mergePatch),
    );
  const create = () =>
    client.call('remember a host key', () => client.core.createNamespacedConfigMap({ namespace, body }));
  try {
    await patch();
  } catch (error) {
    if (!isNotFound(error)) throw error;
    await create().catch((late: unknown) => {
      // Another connection created it in between, or our own attempt did and its answer was lost.
      if (!isConflict(late)) throw late;
      return patch();
    });
  }
}

/** `ssh-ed25519 AAAA…` from the wire format of a public key. */
export function keyLine(wire: Buffer): string {
  const typeLength = wire.readUInt32BE(0);
  return `${wire.toString('ascii', 4, 4 + typeLength)} ${wire.toString('base64')}`;
}

/** Fingerprint of a key line, as `ssh-keygen -l` prints it. */
export function fingerprint(line: string): string {
  const wire = Buffer.from(line.split(' ')[1] ?? '', 'base64');
  return `SHA256:${createHash('sha256').update(wire).digest('base64').replace(/=+$/, '')}`;
}

/** Type and key of a key line without its comment, for comparison. */
export const withoutComment = (line: string): string => line.split(' ').slice(0, 2).join(' ');
