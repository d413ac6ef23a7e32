import type { Gate } from '../gate.ts';
import { addOns } from './add-ons.ts';
import { cgroupGate } from './cgroup.ts';
import { containerdGate } from './containerd.ts';
import { etcdGate } from './etcd.ts';
import { removedApis } from './removed-apis.ts';
import { removedFlags } from './removed-flags.ts';

/** What a minor could break, asked at preflight. For a patch each says that it is not asked. */
export const compatibilityGates: readonly Gate[] = [
  removedApis,
  removedFlags,
  containerdGate,
  etcdGate,
  cgroupGate,
  addOns,
];
