import type { Gate } from '../gate.ts';
import { addOns } from './add-ons.ts';
import { cgroupGate } from './cgroup.ts';
import { containerdGate } from './containerd.ts';
import { etcdGate } from './etcd.ts';
import { removedApis } from './removed-apis.ts';
import { removedFlags } from './removed-flags.ts';

/** The gates for what a minor could break. For a patch each is open and says that it was not checked. */
export const compatibilityGates: readonly Gate[] = [
  removedApis,
  removedFlags,
  containerdGate,
  etcdGate,
  cgroupGate,
  addOns,
];
