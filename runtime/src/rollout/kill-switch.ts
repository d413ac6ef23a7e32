import { isConflict, isNotFound } from '../cluster/api-error.ts';
import { type KubernetesClient, mergePatch } from '../cluster/client.ts';
import { BlockedError } from '../errors.ts';
import { objectNames } from '../names.ts';

/** While it is set no run starts, and a run in progress stops before its next drain. */
export interface KillSwitch {
  /** Why it was set; undefined when it is not set. */
  reason(): Promise<string | undefined>;
}

/** The kill switch as a ConfigMap in the pipeline's namespace: set while it exists, whatever it contains. */
export class ConfigMapKillSwitch implements KillSwitch {
  readonly #client: KubernetesClient;
  readonly #namespace: string;

  constructor(client: KubernetesClient, namespace: string) {
    this.#client = client;
    this.#namespace = namespace;
  }

  async reason(): Promise<string | undefined> {
    const request = { name: objectNames.killSwitch, namespace: this.#namespace };
    try {
      const map = await this.#client.call('read the kill switch', () =>
        this.#client.core.readNamespacedConfigMap(request),
      );
      return map.data?.reason ?? 'no reason given';
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw error;
    }
  }

  /** Sets the kill switch, or replaces its reason. Idempotent. */
  async set(reason: string): Promise<void> {
    const name = objectNames.killSwitch;
    const namespace = this.#namespace;
    const body = { metadata: { name, namespace }, data: { reason } };
    await this.#client
      .call('create the kill switch', () => this.#client.core.createNamespacedConfigMap({ namespace, body }))
      .catch((error) => {
        if (!isConflict(error)) throw error;
        return this.#client.call('update the kill switch', () =>
          this.#client.core.patchNamespacedConfigMap({ name, namespace, body }, mergePatch),
        );
      });
  }

  /** Removes the kill switch. Idempotent. @returns whether it was set. */
  async lift(): Promise<boolean> {
    const request = { name: objectNames.killSwitch, namespace: this.#namespace };
    try {
      await this.#client.call('delete the kill switch', () =>
        this.#client.core.deleteNamespacedConfigMap(request),
      );
      return true;
    } catch (error) {
      if (isNotFound(error)) return false;
      throw error;
    }
  }
}

/** @throws BlockedError with its reason while the kill switch is set. */
export async function assertNotHalted(killSwitch: KillSwitch): Promise<void> {
  const halted = await killSwitch.reason();
  if (halted !== undefined)
    throw new BlockedError('upgrades are halted', [halted], { hint: 'k8s-upgrade resume lifts it.' });
}
