import type { Gate } from '../gate.ts';
import { addOns } from './add-ons.ts';
import { cgroupVersion } from './cgroup.ts';
import { containerdFloor } from './containerd.ts';
import { etcdEdge } from './etcd.ts';
import { removedApis } from './removed-apis.ts';
import { removedFlags } from './removed-flags.ts';

/** What a minor could break, asked at preflight. For a patch each says that it is not asked. */
export const compatibilityGates: readonly Gate[] = [
  removedApis,
  removedFlags,
  containerdFloor,
  etcdEdge,
  cgroupVersion,
  addOns,
];
