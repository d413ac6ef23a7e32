import type { ClusterReader } from '../cluster/reader.ts';
import { BlockedError } from '../errors.ts';

/** @throws BlockedError with its reason while the kill switch is set. */
export async function assertNotHalted(cluster: ClusterReader): Promise<void> {
  const halted = await cluster.killSwitch();
  if (halted !== undefined)
    throw new BlockedError('upgrades are halted', [halted], { hint: 'k8s-upgrade resume lifts it.' });
}
