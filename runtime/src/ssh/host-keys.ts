import { createHash } from 'node:crypto';
import { isConflict, isNotFound } from '../cluster/api-error.ts';
import { type KubernetesClient, mergePatch } from '../cluster/client.ts';
import { UpgradeError } from '../errors.ts';
import { ownLabels } from '../labels.ts';
import { objectNames } from '../names.ts';
import type { Settings } from '../settings/settings.ts';

/** Which host key a node must show (F27). */
export interface HostKeys {
  /** `ssh-ed25519 AAAA…`, or undefined when none is known. */
  known(node: string): string | undefined;
  /**
   * Called with the key of a node that has none yet.
   *
   * @throws UpgradeError when unknown keys are refused.
   */
  accept(node: string, key: string): Promise<void>;
}

/**
 * Keys from the settings come first, then those that `accept-new` has remembered in the ConfigMap.
 *
 * @param readOnly a dry-run accepts a new key and does not remember it.
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
          `node ${node} shows the host key ${fingerprint(key)}, and none is pinned for it`,
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
      // Another connection has made it in between, or this one whose answer was lost.
      if (!isConflict(late)) throw late;
      return patch();
    });
  }
}

/** `ssh-ed25519 AAAA…` from the key as it is sent on the wire. */
export function keyLine(wire: Buffer): string {
  const typeLength = wire.readUInt32BE(0);
  return `${wire.toString('ascii', 4, 4 + typeLength)} ${wire.toString('base64')}`;
}

/** As `ssh-keygen -l` prints it. */
export function fingerprint(line: string): string {
  const wire = Buffer.from(line.split(' ')[1] ?? '', 'base64');
  return `SHA256:${createHash('sha256').update(wire).digest('base64').replace(/=+$/, '')}`;
}

/** Type and key without a comment, for comparison. */
export const withoutComment = (line: string): string => line.split(' ').slice(0, 2).join(' ');
